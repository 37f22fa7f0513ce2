// Goroutines, channels, a timer and the garbage collector of a static Go program.
package main

import (
	"fmt"
	"os"
	"runtime"
	"time"
)

func main() {
	sums := make(chan int)
	for worker := 0; worker < 8; worker++ {
		go func(from int) {
			sum := 0
			for i := from; i < 1000; i += 8 {
				sum += i
			}
			sums <- sum
		}(worker)
	}
	total := 0
	for worker := 0; worker < 8; worker++ {
		total += <-sums
	}
	kept := [][]byte{}
	for i := 0; i < 64; i++ {
		kept = append(kept, make([]byte, 16<<10))
	}
	runtime.GC()
	<-time.After(5 * time.Millisecond)
	fmt.Println("hello from Go, goroutines say", total, "with", len(kept), "blocks kept")
	os.Exit(7)
}
