// SPDX-License-Identifier: Apache-2.0
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"

	"google.golang.org/protobuf/encoding/protojson"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/tools/remotecommand"
	"k8s.io/client-go/transport/spdy"
	"k8s.io/client-go/util/exec"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// sizes are the lines "WIDTH HEIGHT" of a file.
type sizes struct {
	lines *bufio.Scanner
}

func (s sizes) Next() *remotecommand.TerminalSize {
	for s.lines.Scan() {
		size := &remotecommand.TerminalSize{}
		if _, err := fmt.Sscan(s.lines.Text(), &size.Width, &size.Height); err == nil {
			return size
		}
	}
	return nil
}

// where is the URL that a streaming call answers with.
func (c *client) where(ctx context.Context, method string, request []byte) (*url.URL, error) {
	response, err := c.call(ctx, method, request)
	if err != nil {
		return nil, err
	}
	var answer struct {
		URL string `json:"url"`
	}
	if err := json.Unmarshal(response, &answer); err != nil {
		return nil, err
	}
	return url.Parse(answer.URL)
}

func (c *client) exec(ctx context.Context, request []byte, sizesFd []string) (int, error) {
	var r runtime.ExecRequest
	if err := protojson.Unmarshal(request, &r); err != nil {
		return 0, err
	}
	u, err := c.where(ctx, "Exec", request)
	if err != nil {
		return 0, err
	}
	return stream(ctx, u, &r, sizesFd)
}

func (c *client) attach(ctx context.Context, request []byte, sizesFd []string) (int, error) {
	var r runtime.AttachRequest
	if err := protojson.Unmarshal(request, &r); err != nil {
		return 0, err
	}
	u, err := c.where(ctx, "Attach", request)
	if err != nil {
		return 0, err
	}
	return stream(ctx, u, &r, sizesFd)
}

// wanted is which streams a request asks for.
type wanted interface {
	GetStdin() bool
	GetStdout() bool
	GetStderr() bool
	GetTty() bool
}

// stream connects this process's streams with those at the URL and returns the command's status.
func stream(ctx context.Context, u *url.URL, r wanted, sizesFd []string) (int, error) {
	options := remotecommand.StreamOptions{Tty: r.GetTty()}
	if r.GetStdin() {
		options.Stdin = os.Stdin
	}
	if r.GetStdout() {
		options.Stdout = os.Stdout
	}
	if r.GetStderr() {
		options.Stderr = os.Stderr
	}
	for _, fd := range sizesFd {
		number, err := strconv.ParseUint(fd, 10, 16)
		if err != nil {
			return 0, err
		}
		options.TerminalSizeQueue = sizes{bufio.NewScanner(os.NewFile(uintptr(number), "sizes"))}
	}
	executor, err := remotecommand.NewSPDYExecutor(&rest.Config{}, http.MethodPost, u)
	if err != nil {
		return 0, err
	}
	err = executor.StreamWithContext(ctx, options)
	var ended exec.CodeExitError
	if errors.As(err, &ended) {
		return ended.Code, nil
	}
	return 0, err
}

// forward listens on a port of 127.0.0.1 and prints it, until standard input ends.
func (c *client) forward(ctx context.Context, pod, port string) error {
	request, err := json.Marshal(map[string]any{"pod_sandbox_id": pod})
	if err != nil {
		return err
	}
	u, err := c.where(ctx, "PortForward", request)
	if err != nil {
		return err
	}
	transport, upgrader, err := spdy.RoundTripperFor(&rest.Config{})
	if err != nil {
		return err
	}
	dialer := spdy.NewDialer(upgrader, &http.Client{Transport: transport}, http.MethodPost, u)
	stop, ready := make(chan struct{}), make(chan struct{})
	forwarder, err := portforward.NewOnAddresses(dialer, []string{"127.0.0.1"},
		[]string{"0:" + port}, stop, ready, io.Discard, os.Stderr)
	if err != nil {
		return err
	}
	go func() {
		<-ready
		if ports, err := forwarder.GetPorts(); err == nil {
			fmt.Println(ports[0].Local)
		}
		_, _ = io.Copy(io.Discard, os.Stdin)
		close(stop)
	}()
	return forwarder.ForwardPorts()
}
