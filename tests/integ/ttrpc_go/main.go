// SPDX-License-Identifier: Apache-2.0

// containerd's own code as the other side of ours: `client PATH` calls a task service as containerd
// calls a shim, `server PATH` takes events as containerd does. Prints one word per finding.
package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	events "github.com/containerd/containerd/api/events"
	task "github.com/containerd/containerd/api/runtime/task/v3"
	forward "github.com/containerd/containerd/api/services/ttrpc/events/v1"
	"github.com/containerd/ttrpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"
)

func check(err error) {
	if err != nil {
		fmt.Println("failed:", err)
		os.Exit(1)
	}
}

func state(c task.TTRPCTaskService, id string) error {
	s, err := c.State(context.Background(), &task.StateRequest{ID: id, ExecID: "e"})
	if err != nil {
		return err
	}
	if s.ID != id || s.ExecID != "e" || s.Pid != 7 || s.ExitedAt.AsTime().Unix() != 1700000000 {
		return fmt.Errorf("got %v", s)
	}
	return nil
}

func many(c task.TTRPCTaskService) {
	var group sync.WaitGroup
	for i := 0; i < 500; i++ {
		group.Add(1)
		go func(i int) {
			defer group.Done()
			check(state(c, fmt.Sprint("id", i)))
		}(i)
	}
	group.Wait()
}

func client(path string) {
	conn, err := net.Dial("unix", path)
	check(err)
	t := ttrpc.NewClient(conn)
	c := task.NewTTRPCTaskClient(t)
	ctx := context.Background()
	waited := make(chan *task.WaitResponse)
	go func() {
		w, err := c.Wait(ctx, &task.WaitRequest{ID: "i"})
		check(err)
		waited <- w
	}()
	check(state(c, "i"))
	many(c)
	fmt.Println("many")

	_, err = c.Pause(ctx, &task.PauseRequest{ID: "i"})
	fmt.Println("method", status.Code(err) == codes.Unimplemented)
	err = t.Call(ctx, "containerd.task.v9.Task", "State", &task.StateRequest{}, &task.StateResponse{})
	fmt.Println("service", status.Code(err) == codes.Unimplemented)
	_, err = c.Kill(ctx, &task.KillRequest{ID: "nobody"})
	fmt.Println("kill", status.Code(err) == codes.NotFound, status.Convert(err).Message())

	stream, err := t.NewStream(ctx, &ttrpc.StreamDesc{StreamingClient: true, StreamingServer: true},
		"containerd.task.v3.Task", "Stream", nil)
	check(err)
	stream.SendMsg(&emptypb.Empty{})
	err = stream.RecvMsg(&emptypb.Empty{})
	fmt.Println("stream", status.Code(err) == codes.Unimplemented)

	short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	_, err = c.Wait(short, &task.WaitRequest{ID: "i"})
	fmt.Println("deadline", err != nil)

	_, err = c.Kill(ctx, &task.KillRequest{ID: "i", Signal: 9})
	check(err)
	fmt.Println("wait", (<-waited).ExitStatus)
	check(state(c, "last"))
	fmt.Println("end")
}

type service struct{}

func (service) Forward(_ context.Context, r *forward.ForwardRequest) (*emptypb.Empty, error) {
	var exit events.TaskExit
	check(r.Envelope.Event.UnmarshalTo(&exit))
	fmt.Println(r.Envelope.Namespace, r.Envelope.Topic, r.Envelope.Event.TypeUrl, exit.ContainerID,
		exit.ExitStatus, exit.ExitedAt.AsTime().Unix(), time.Since(r.Envelope.Timestamp.AsTime()) < time.Minute)
	return &emptypb.Empty{}, nil
}

func main() {
	if os.Args[1] == "client" {
		client(os.Args[2])
		return
	}
	l, err := net.Listen("unix", os.Args[2])
	check(err)
	s, err := ttrpc.NewServer()
	check(err)
	forward.RegisterTTRPCEventsService(s, service{})
	fmt.Println("listening")
	check(s.Serve(context.Background(), l))
}
