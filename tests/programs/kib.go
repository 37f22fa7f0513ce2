// A web server of Go's own that answers with 1 KiB.
package main

import (
	"bytes"
	"log"
	"net/http"
)

func main() {
	kib := bytes.Repeat([]byte("k"), 1024)
	http.HandleFunc("/kib", func(w http.ResponseWriter, r *http.Request) { w.Write(kib) })
	log.Fatal(http.ListenAndServe(":80", nil))
}
