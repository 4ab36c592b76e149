// SPDX-License-Identifier: Apache-2.0

// Command cri speaks Kubernetes' Container Runtime Interface (CRI, runtime.v1) to a socket, by the
// generated code of k8s.io/cri-api, and its streams by the client of k8s.io/client-go: what a
// kubelet and kubectl are made of.
//
//	cri SOCKET call METHOD [REQUEST]   one call; JSON in (or from standard input), JSON out
//	cri SOCKET serve                   calls as lines: {"id", "method", "request"} in,
//	                                   {"id", "response"} or {"id", "error": {code, message}} out,
//	                                   all at once and in the order in which they end
//	cri SOCKET exec REQUEST [FD]       an ExecRequest; this process's streams; the exit status is
//	                                   the command's. Lines "WIDTH HEIGHT" of the descriptor are
//	                                   the terminal's sizes
//	cri SOCKET attach REQUEST [FD]     the same for an AttachRequest
//	cri SOCKET port-forward POD PORT   prints the local port; until standard input ends
//
// JSON has the names of CRI's protocol buffers, as a kubelet's configuration of crictl would; 64-bit
// numbers are strings. A method is the name of one of RuntimeService or ImageService.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"
)

const (
	statusUsage  = 125
	statusFailed = 126
	// As a kubelet has it.
	messageLimit = 16 << 20
	lineLimit    = 16 << 20
)

var services = []protoreflect.FullName{"runtime.v1.RuntimeService", "runtime.v1.ImageService"}

// client is one connection to a CRI server.
type client struct {
	connection *grpc.ClientConn
}

// find looks a method up in both services.
func find(name string) (protoreflect.MethodDescriptor, error) {
	for _, service := range services {
		descriptor, err := protoregistry.GlobalFiles.FindDescriptorByName(service)
		if err != nil {
			return nil, err
		}
		methods := descriptor.(protoreflect.ServiceDescriptor).Methods()
		if method := methods.ByName(protoreflect.Name(name)); method != nil {
			return method, nil
		}
	}
	return nil, fmt.Errorf("CRI has no method %q", name)
}

func message(descriptor protoreflect.MessageDescriptor) (proto.Message, error) {
	kind, err := protoregistry.GlobalTypes.FindMessageByName(descriptor.FullName())
	if err != nil {
		return nil, err
	}
	return kind.New().Interface(), nil
}

// call makes one call. Of a method that answers with a stream it waits for the first message.
func (c *client) call(ctx context.Context, name string, request []byte) ([]byte, error) {
	method, err := find(name)
	if err != nil {
		return nil, err
	}
	in, err := message(method.Input())
	if err != nil {
		return nil, err
	}
	if len(request) > 0 {
		if err := protojson.Unmarshal(request, in); err != nil {
			return nil, fmt.Errorf("the request for %s: %w", name, err)
		}
	}
	out, err := message(method.Output())
	if err != nil {
		return nil, err
	}
	path := fmt.Sprintf("/%s/%s", method.Parent().FullName(), name)
	if method.IsStreamingServer() {
		err = c.first(ctx, path, in, out)
	} else {
		err = c.connection.Invoke(ctx, path, in, out)
	}
	if err != nil {
		return nil, err
	}
	return protojson.MarshalOptions{UseProtoNames: true, EmitUnpopulated: true}.Marshal(out)
}

func (c *client) first(ctx context.Context, path string, in, out proto.Message) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := c.connection.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, path)
	if err != nil {
		return err
	}
	if err := stream.SendMsg(in); err != nil {
		return err
	}
	if err := stream.CloseSend(); err != nil {
		return err
	}
	return stream.RecvMsg(out)
}

type question struct {
	ID      int             `json:"id"`
	Method  string          `json:"method"`
	Request json.RawMessage `json:"request"`
}

type fault struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

type answer struct {
	ID       int             `json:"id"`
	Response json.RawMessage `json:"response,omitempty"`
	Error    *fault          `json:"error,omitempty"`
}

// serve answers lines until there are no more.
func (c *client) serve(ctx context.Context, in io.Reader, out io.Writer) error {
	var lock sync.Mutex
	var running sync.WaitGroup
	defer running.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	encoder := json.NewEncoder(out)
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, lineLimit)
	for lines.Scan() {
		var q question
		if err := json.Unmarshal(lines.Bytes(), &q); err != nil {
			return err
		}
		running.Go(func() {
			a := answer{ID: q.ID}
			var err error
			if a.Response, err = c.call(ctx, q.Method, q.Request); err != nil {
				s := status.Convert(err)
				a.Error = &fault{s.Code().String(), s.Message()}
			}
			lock.Lock()
			defer lock.Unlock()
			if err := encoder.Encode(a); err != nil {
				cancel()
			}
		})
	}
	return lines.Err()
}

// command carries out what the arguments say and returns the exit status.
func command(ctx context.Context, c *client, name string, args []string) (int, error) {
	switch {
	case name == "serve" && len(args) == 0:
		return 0, c.serve(ctx, os.Stdin, os.Stdout)
	case name == "call" && (len(args) == 1 || len(args) == 2):
		request := []byte(args[len(args)-1])
		if len(args) == 1 {
			var err error
			if request, err = io.ReadAll(os.Stdin); err != nil {
				return 0, err
			}
		}
		response, err := c.call(ctx, args[0], request)
		if err != nil {
			return 0, err
		}
		fmt.Println(string(response))
		return 0, nil
	case name == "exec" && (len(args) == 1 || len(args) == 2):
		return c.exec(ctx, []byte(args[0]), args[1:])
	case name == "attach" && (len(args) == 1 || len(args) == 2):
		return c.attach(ctx, []byte(args[0]), args[1:])
	case name == "port-forward" && len(args) == 2:
		return 0, c.forward(ctx, args[0], args[1])
	}
	return statusUsage, errors.New("usage: cri SOCKET call METHOD [REQUEST] | serve | " +
		"exec REQUEST [FD] | attach REQUEST [FD] | port-forward POD PORT")
}

func main() {
	code := statusUsage
	err := errors.New("usage: cri SOCKET COMMAND [ARGUMENT...]")
	if len(os.Args) >= 3 {
		var connection *grpc.ClientConn
		connection, err = grpc.NewClient("unix://"+os.Args[1],
			grpc.WithTransportCredentials(insecure.NewCredentials()),
			grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(messageLimit)))
		if err == nil {
			code, err = command(context.Background(), &client{connection}, os.Args[2], os.Args[3:])
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "cri:", err)
		if code == 0 {
			code = statusFailed
		}
	}
	os.Exit(code)
}

// Its init registers the messages that find() and message() look up.
var _ runtime.RuntimeServiceClient
