// SPDX-License-Identifier: Apache-2.0

// A greeting: it reads arguments and an environment variable, and gives back a status.
package main

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"strings"
)

func main() {
	status := flag.Int("exit", 0, "the status to exit with, from 0 to 255")
	flag.Parse()

	greeting := os.Getenv("GREETING")
	if greeting == "" {
		greeting = "Hello"
	}
	names := ""
	if flag.NArg() > 0 {
		names = ", " + strings.Join(flag.Args(), " ")
	}
	fmt.Printf("%s from Go on %s/%s%s\n", greeting, runtime.GOOS, runtime.GOARCH, names)
	os.Exit(*status)
}
