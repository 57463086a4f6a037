package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// A probe is the honest client: one connection, a small record every few milliseconds, acks=all.
type probe struct{ conn net.Conn }

const every = 5 * time.Millisecond

func newProbe(address string) (*probe, error) {
	c, err := net.Dial("tcp", address)
	if err != nil {
		return nil, err
	}
	return &probe{c}, nil
}

func (p *probe) close() { p.conn.Close() }

// waits are how long a client waited for its acknowledgements.
type waits struct{ p99, worst time.Duration }

// watch sends until so long after begun is closed (nil: from now on), and answers how long it waited.
func (p *probe) watch(ctx context.Context, d time.Duration, begun <-chan struct{}) (waits, error) {
	request := format(7, produce(honestTopic, plainBatch(5)))
	begin := time.Now()
	sent, failed := make(chan int, 1<<20), make(chan error, 1)
	go func() {
		defer close(sent)
		failed <- p.send(ctx, begin, request, d, begun, sent)
	}()
	var took []time.Duration
	r := bufio.NewReader(p.conn)
	for i := range sent {
		if err := p.conn.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
			return waits{}, err
		}
		if err := answered(r); err != nil {
			return waits{}, err
		}
		took = append(took, time.Since(begin)-time.Duration(i)*every)
	}
	slices.Sort(took)
	if len(took) == 0 {
		return waits{}, fmt.Errorf("nothing was sent: %w", errors.Join(<-failed, ctx.Err()))
	}
	return waits{took[len(took)*99/100], took[len(took)-1]}, <-failed
}

// send sends at a steady pace, whatever becomes of what was sent, and tells of each.
func (p *probe) send(ctx context.Context, begin time.Time, request []byte, d time.Duration, begun <-chan struct{}, sent chan<- int) error {
	ticks := time.NewTicker(every / 5)
	defer ticks.Stop()
	end := begin.Add(d)
	for i := 0; ctx.Err() == nil; {
		if begun != nil {
			end = time.Now().Add(d)
			select {
			case <-begun:
				begun = nil
			default:
			}
		}
		if time.Now().After(end) {
			return nil
		}
		if time.Since(begin) < time.Duration(i)*every {
			<-ticks.C
			continue
		}
		if _, err := p.conn.Write(request); err != nil {
			return err
		}
		sent <- i
		i++
	}
	return ctx.Err()
}

// answered reads one answer to Produce version 7 for one partition, and fails unless it says that all is well.
func answered(r *bufio.Reader) error {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return err
	}
	body := make([]byte, binary.BigEndian.Uint32(head[:]))
	if _, err := io.ReadFull(r, body); err != nil {
		return err
	}
	return taken(body)
}

// taken fails unless an answer to Produce says that all is well.
func taken(body []byte) error {
	a := kmsg.NewPtrProduceResponse()
	a.SetVersion(7)
	if err := a.ReadFrom(body[4:]); err != nil {
		return err
	}
	if code := a.Topics[0].Partitions[0].ErrorCode; code != 0 {
		return fmt.Errorf("produce is answered with error %d", code)
	}
	return nil
}

// memory is the resident set of a process in bytes.
func memory(pid int) int64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kib, _ := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			return kib << 10
		}
	}
	return 0
}

// kernel is what TCP has in its buffers on the whole machine, in bytes.
func kernel() int64 {
	text, err := os.ReadFile("/proc/net/sockstat")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if _, pages, ok := strings.Cut(line, " mem "); ok && strings.HasPrefix(line, "TCP:") {
			n, _ := strconv.ParseInt(strings.TrimSpace(pages), 10, 64)
			return n * int64(os.Getpagesize())
		}
	}
	return 0
}

// watchMemory samples until the function that it answers is called; that tells the most there was.
func watchMemory(pid int) func() (rss, tcp int64) {
	stop, most := make(chan struct{}), make(chan [2]int64, 1)
	go func() {
		ticks := time.NewTicker(20 * time.Millisecond)
		defer ticks.Stop()
		var seen [2]int64
		for {
			seen = [2]int64{max(seen[0], memory(pid)), max(seen[1], kernel())}
			select {
			case <-stop:
				most <- seen
				return
			case <-ticks.C:
			}
		}
	}()
	return func() (int64, int64) {
		close(stop)
		seen := <-most
		return seen[0], seen[1]
	}
}
