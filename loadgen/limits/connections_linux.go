package limits

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
	"golang.org/x/sys/unix"

	"github.com/millrace/millrace/loadgen"
	"github.com/millrace/millrace/loadgen/peers"
	"github.com/millrace/millrace/results"
)

// idle opens many connections; each asks for versions, as clients do, and then nothing.
func idle(ctx context.Context, t *trial) (err error) {
	b, err := t.start(ctx, t.side, t.dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.Stop()) }()
	return t.crowd(ctx, b, func(open []net.Conn) error {
		for i, c := range open {
			if _, err := peers.Exchange(c, kmsg.NewPtrApiVersionsRequest()); err != nil {
				return fmt.Errorf("connection %d of %d: %w", i+1, len(open), err)
			}
		}
		return nil
	}, func(open []net.Conn) error {
		for _, c := range []net.Conn{open[0], open[len(open)-1]} {
			if _, err := peers.Exchange(c, kmsg.NewPtrApiVersionsRequest()); err != nil {
				return fmt.Errorf("an idle connection: %w", err)
			}
		}
		return nil
	})
}

// Never-readers ask for a megabyte so many times, before any of it could be read.
const (
	unreadFetches = 8
	unreadBytes   = 1 << 20
)

// unread lets many consumers ask for much and read nothing.
func unread(ctx context.Context, t *trial) (err error) {
	b, err := t.start(ctx, t.side, t.dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.Stop()) }()
	w, records, err := t.fill(ctx, b, t.nextTopic())
	if err != nil {
		return err
	}
	// Each begins somewhere in the first half, so that there is a megabyte behind.
	at := func(i int) *kmsg.FetchRequest {
		return fetchFrom(w.Topic, int64(i)*(records/2)/int64(t.row.Connections))
	}
	return t.crowd(ctx, b, func(open []net.Conn) error {
		for i, c := range open {
			if _, err := c.Write(bytes.Repeat(peers.Frame(at(i)), unreadFetches)); err != nil {
				return fmt.Errorf("connection %d of %d: %w", i+1, len(open), err)
			}
		}
		return nil
	}, func(open []net.Conn) error { return served(open[0], at(0)) })
}

func fetchFrom(topic string, offset int64) *kmsg.FetchRequest {
	q := kmsg.NewPtrFetchRequest()
	q.Version, q.MaxBytes, q.MinBytes, q.MaxWaitMillis = 11, unreadBytes, 1, 500
	one := kmsg.NewFetchRequestTopic()
	one.Topic = topic
	p := kmsg.NewFetchRequestTopicPartition()
	p.FetchOffset, p.PartitionMaxBytes, p.CurrentLeaderEpoch = offset, unreadBytes, -1
	one.Partitions = append(one.Partitions, p)
	q.Topics = append(q.Topics, one)
	return q
}

// served reads the first answer after all: memory that was not needed because nothing was
// served would prove nothing.
func served(c net.Conn, request *kmsg.FetchRequest) error {
	if err := c.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return fmt.Errorf("read a fetch: %w", err)
	}
	var head [4]byte
	if _, err := io.ReadFull(c, head[:]); err != nil {
		return fmt.Errorf("read a fetch: %w", err)
	}
	body := make([]byte, min(binary.BigEndian.Uint32(head[:]), 2*unreadBytes))
	if _, err := io.ReadFull(c, body); err != nil {
		return fmt.Errorf("read a fetch: %w", err)
	}
	answer := request.ResponseKind().(*kmsg.FetchResponse)
	if err := answer.ReadFrom(body[4:]); err != nil {
		return fmt.Errorf("read a fetch: %w", err)
	}
	for _, topic := range answer.Topics {
		for _, p := range topic.Partitions {
			if len(p.RecordBatches) > unreadBytes/2 {
				return nil
			}
		}
	}
	return fmt.Errorf("a fetch of %d bytes was answered with %d, error %d", unreadBytes, len(body), answer.ErrorCode)
}

// crowd opens the row's connections and measures the broker's memory before, at most and
// when it is idle again. Act is what they do, check whether they were taken seriously.
func (t *trial) crowd(ctx context.Context, b *peers.Broker, act, check func([]net.Conn) error) error {
	before, err := settled(ctx, b.PID)
	if err != nil {
		return err
	}
	if err := loadgen.ResetPeak(b.PID); err != nil {
		return err
	}
	open, err := connections(ctx, b.Address, t.row.Connections)
	defer func() {
		for _, c := range open {
			c.Close()
		}
	}()
	if err == nil {
		err = act(open)
	}
	if err != nil {
		return err
	}
	after, err := settled(ctx, b.PID)
	if err != nil {
		return err
	}
	t.figure(memoryBefore, results.SizeBytes, float64(before.Resident))
	t.figure(overPeak, results.SizeBytes, float64(after.Peak-before.Resident))
	t.figure(overSettled, results.SizeBytes, float64(after.Resident-before.Resident))
	return check(open)
}

// sources is over how many addresses of loopback connections are spread, so that ports
// last even while those of the last repeat are not free again.
const sources = 16

// receiveBuffer keeps what the kernel holds for connections that nobody reads small, so
// that the rest is left to the broker.
const receiveBuffer = 64 << 10

// connections opens so many. Those that are open are returned with an error, too.
func connections(ctx context.Context, address string, n int) (open []net.Conn, err error) {
	var files unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &files); err != nil {
		return nil, fmt.Errorf("ask how many files may be open: %w", err)
	}
	if need := uint64(n) + 256; files.Max < need {
		return nil, fmt.Errorf("%d connections need a limit of %d open files, it is %d: raise it with ulimit -Hn", n, need, files.Max)
	}
	files.Cur = files.Max
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &files); err != nil {
		return nil, fmt.Errorf("have %d files open: %w", files.Max, err)
	}
	for i := range n {
		d := net.Dialer{
			Timeout: patience, LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, byte(2+i%sources))},
			Control: smallBuffer,
		}
		c, err := d.DialContext(ctx, "tcp", address)
		if err != nil {
			return open, fmt.Errorf("open connection %d of %d: %w", i+1, n, err)
		}
		open = append(open, c)
		// Closed at once and without a wait, or the ports of one repeat are missing to the next.
		if err := c.(*net.TCPConn).SetLinger(0); err != nil {
			return open, fmt.Errorf("open connection %d of %d: %w", i+1, n, err)
		}
	}
	return open, nil
}

// smallBuffer is called with a socket before it is connected.
func smallBuffer(_, _ string, raw syscall.RawConn) error {
	var failed error
	err := raw.Control(func(fd uintptr) {
		failed = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, receiveBuffer)
	})
	return errors.Join(err, failed)
}
