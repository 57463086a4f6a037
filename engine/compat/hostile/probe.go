package main

import (
	"bufio"
	"context"
	"encoding/binary"
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

// watch sends for a while and answers the 99th percentile.
func (p *probe) watch(ctx context.Context, d time.Duration) (time.Duration, error) {
	count := int(d / every)
	request := format(7, produce(honestTopic, plainBatch([]byte("hello"))))
	if err := p.conn.SetDeadline(time.Now().Add(d + 20*time.Second)); err != nil {
		return 0, err
	}
	begin := time.Now()
	failed := make(chan error, 1)
	go func() {
		ticks := time.NewTicker(every / 5)
		defer ticks.Stop()
		for sent := 0; sent < count && ctx.Err() == nil; {
			if time.Since(begin) < time.Duration(sent)*every {
				<-ticks.C
				continue
			}
			if _, err := p.conn.Write(request); err != nil {
				failed <- err
				return
			}
			sent++
		}
		failed <- nil
	}()
	took := make([]time.Duration, count)
	r := bufio.NewReader(p.conn)
	for i := range took {
		if err := answered(r); err != nil {
			return 0, err
		}
		took[i] = time.Since(begin) - time.Duration(i)*every
	}
	slices.Sort(took)
	return took[count*99/100], <-failed
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
