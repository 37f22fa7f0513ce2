// Goroutines that never yield: the collector stops them with signals, and the kernel gives every thread its turn.
package main

import (
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"syscall"
)

func main() {
	runtime.GOMAXPROCS(2)
	stop := false
	for i := 0; i < 3; i++ {
		go func() {
			n := 0
			for !stop {
				n++
			}
		}()
	}
	syscall.Nanosleep(&syscall.Timespec{Nsec: 20000000}, nil)
	runtime.GC() // needs every goroutine to stop
	fmt.Println("the collector stopped spinning goroutines")
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGUSR1)
	syscall.Kill(syscall.Getpid(), syscall.SIGUSR1)
	fmt.Println("got", <-c)
	defer func() {
		fmt.Println("recovered:", recover())
		os.Exit(9)
	}()
	var p *int
	*p = 1
}
