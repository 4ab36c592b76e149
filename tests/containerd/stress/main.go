// SPDX-License-Identifier: Apache-2.0

// Command stress runs containers that end by themselves, several at a time, by containerd's own Go
// client: what a scheduler would do for each, without a process of ctr's.
//
//	stress SOCKET NAMESPACE SNAPSHOTTER RUNTIME IMAGE THREADS SECONDS [ARGUMENT...]
//
// Each thread goes on making a snapshot, a container and a task of the image, starting it, waiting
// for its end and deleting all three, until the time is up. It prints one line of JSON: how many,
// in which time, and for each step the durations in microseconds. A status other than 0 ends it.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"sync"
	"time"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/cio"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/containerd/v2/pkg/oci"
	"github.com/containerd/platforms"
)

const (
	statusUsage  = 125
	statusFailed = 126
)

type result struct {
	Count   int                `json:"count"`
	Seconds float64            `json:"seconds"`
	Steps   map[string][]int64 `json:"steps_us"`
}

type stress struct {
	client                      *containerd.Client
	image                       containerd.Image
	snapshotter, runtime, group string
	args                        []string
	lock                        sync.Mutex
	result                      result
}

// clock notes how long each step of one container took.
type clock struct {
	last  time.Time
	steps map[string]int64
}

func (c *clock) step(name string) {
	now := time.Now()
	c.steps[name] = now.Sub(c.last).Microseconds()
	c.last = now
}

func (s *stress) one(ctx context.Context, id string) error {
	c := clock{last: time.Now(), steps: map[string]int64{}}
	begun := c.last
	spec := []oci.SpecOpts{oci.WithImageConfig(s.image)}
	if len(s.args) > 0 {
		spec = append(spec, oci.WithProcessArgs(s.args...))
	}
	container, err := s.client.NewContainer(ctx, id, containerd.WithImage(s.image),
		containerd.WithSnapshotter(s.snapshotter), containerd.WithNewSnapshot(id, s.image),
		containerd.WithRuntime(s.runtime, nil), containerd.WithNewSpec(spec...))
	if err != nil {
		return fmt.Errorf("container: %w", err)
	}
	defer container.Delete(context.WithoutCancel(ctx), containerd.WithSnapshotCleanup)
	c.step("container")
	if err := run(ctx, container, &c); err != nil {
		return err
	}
	if err := container.Delete(ctx, containerd.WithSnapshotCleanup); err != nil {
		return fmt.Errorf("delete: %w", err)
	}
	c.step("remove")
	c.steps["all"] = time.Since(begun).Microseconds()
	s.lock.Lock()
	defer s.lock.Unlock()
	s.result.Count++
	for name, took := range c.steps {
		s.result.Steps[name] = append(s.result.Steps[name], took)
	}
	return nil
}

func run(ctx context.Context, container containerd.Container, c *clock) error {
	task, err := container.NewTask(ctx, cio.NullIO)
	if err != nil {
		return fmt.Errorf("task: %w", err)
	}
	defer task.Delete(context.WithoutCancel(ctx), containerd.WithProcessKill)
	c.step("create")
	ended, err := task.Wait(ctx)
	if err != nil {
		return fmt.Errorf("wait: %w", err)
	}
	if err := task.Start(ctx); err != nil {
		return fmt.Errorf("start: %w", err)
	}
	c.step("start")
	status := <-ended
	if err := status.Error(); err != nil {
		return fmt.Errorf("end: %w", err)
	}
	if status.ExitCode() != 0 {
		return fmt.Errorf("the container ended with status %d", status.ExitCode())
	}
	c.step("run")
	if _, err := task.Delete(ctx); err != nil {
		return fmt.Errorf("delete of the task: %w", err)
	}
	c.step("delete")
	return nil
}

// all runs the threads; the error is the first one's.
func (s *stress) all(ctx context.Context, threads int, limit time.Duration) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	begun := time.Now()
	var running sync.WaitGroup
	for i := range threads {
		running.Go(func() {
			for n := 0; time.Since(begun) < limit && ctx.Err() == nil; n++ {
				if err := s.one(ctx, fmt.Sprintf("%s-%d-%d", s.group, i, n)); err != nil {
					stop(err)
				}
			}
		})
	}
	running.Wait()
	s.result.Seconds = time.Since(begun).Seconds()
	return context.Cause(ctx)
}

func (s *stress) prepare(ctx context.Context, name string) error {
	var err error
	if s.image, err = s.client.GetImage(ctx, name); err != nil {
		return err
	}
	unpacked, err := s.image.IsUnpacked(ctx, s.snapshotter)
	if err == nil && !unpacked {
		err = s.image.Unpack(ctx, s.snapshotter)
	}
	return err
}

func work(argv []string) error {
	threads, err := strconv.Atoi(argv[5])
	if err != nil {
		return err
	}
	seconds, err := strconv.ParseFloat(argv[6], 64)
	if err != nil {
		return err
	}
	// Of which platform the image is does not matter here.
	client, err := containerd.New(argv[0], containerd.WithDefaultPlatform(platforms.All))
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, stop := signal.NotifyContext(namespaces.WithNamespace(context.Background(), argv[1]),
		os.Interrupt)
	defer stop()
	s := stress{client: client, snapshotter: argv[2], runtime: argv[3], args: argv[7:],
		group: fmt.Sprintf("stress-%d", os.Getpid()), result: result{Steps: map[string][]int64{}}}
	if err := s.prepare(ctx, argv[4]); err != nil {
		return err
	}
	if err := s.all(ctx, threads, time.Duration(seconds*float64(time.Second))); err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(s.result)
}

func main() {
	if len(os.Args) < 8 {
		fmt.Fprintln(os.Stderr,
			"usage: stress SOCKET NAMESPACE SNAPSHOTTER RUNTIME IMAGE THREADS SECONDS [ARGUMENT...]")
		os.Exit(statusUsage)
	}
	if err := work(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "stress:", err)
		os.Exit(statusFailed)
	}
}
