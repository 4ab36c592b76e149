// SPDX-License-Identifier: Apache-2.0

// Answers one HTTP request the way of CGI: the request comes in variables and on stdin, and what
// goes to stdout is a head, an empty line and the body.
package main

import (
	"fmt"
	"io"
	"log"
	"net/url"
	"os"
)

func main() {
	query, err := url.ParseQuery(os.Getenv("QUERY_STRING"))
	if err != nil {
		fmt.Print("Status: 400 Bad Request\nContent-Type: text/plain\n\n", err, "\n")
		return
	}
	name := query.Get("name")
	if name == "" {
		name = "world"
	}
	body, err := io.ReadAll(os.Stdin)
	if err != nil {
		log.Fatal(err)
	}

	fmt.Print("Content-Type: text/plain; charset=utf-8\n\n")
	fmt.Printf("Hello from Go, %s!\n", name)
	fmt.Printf("%s %s\n", os.Getenv("REQUEST_METHOD"), os.Getenv("PATH_INFO"))
	if len(body) > 0 {
		fmt.Printf("%d bytes came with it: %q\n", len(body), body)
	}
}
