// A web server of Go's own: a greeting, an echo, many bytes, the machine's free memory, and ways out.
package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"
)

func pattern(count int) []byte {
	all := make([]byte, count)
	for i := range all {
		all[i] = byte(i % 251)
	}
	return all
}

func many(w http.ResponseWriter, r *http.Request) {
	count, err := strconv.Atoi(r.URL.Path[len("/bytes/"):])
	if err != nil {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(pattern(count)))
}

func memory(w http.ResponseWriter, r *http.Request) {
	var info syscall.Sysinfo_t
	syscall.Sysinfo(&info)
	fmt.Fprint(w, uint64(info.Freeram)*uint64(info.Unit)/1024)
}

func main() {
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { fmt.Fprintf(w, "hello %s\n", r.URL.Path) })
	http.HandleFunc("/echo", func(w http.ResponseWriter, r *http.Request) { io.Copy(w, r.Body) })
	http.HandleFunc("/bytes/", many)
	http.HandleFunc("/memory", memory)
	http.HandleFunc("/quit", func(w http.ResponseWriter, r *http.Request) { os.Exit(3) })
	listener, err := net.Listen("tcp", ":80")
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	server := http.Server{}
	ended, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	done := make(chan error)
	go func() {
		<-ended.Done()
		fmt.Println("ending")
		done <- server.Shutdown(context.Background())
	}()
	fmt.Println("ready")
	if err := server.Serve(listener); err != http.ErrServerClosed {
		fmt.Println(err)
		os.Exit(1)
	}
	// Requests that are under way come to their end first.
	fmt.Println("ended", <-done)
}
