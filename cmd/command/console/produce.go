package console

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/millrace/millrace/cmd/command/session"
	"github.com/twmb/franz-go/pkg/kgo"
)

// ProduceOptions say what becomes of the lines that are read.
type ProduceOptions struct {
	Reader *Reader
	// Sync waits for each record before the next line is read.
	Sync bool
	// CreateTopic lets the broker create the topic when it is set up to.
	CreateTopic bool
}

// drain bounds how long records that wait may take once an interrupt came.
const drain = 10 * time.Second

// Produce sends every line of so.In until there are no more or ctx ends. What
// could not be sent is reported as it happens; with failed records the error is
// session.ErrReported.
func Produce(ctx context.Context, so session.Options, o ProduceOptions) error {
	so.Role |= session.Producer
	so.Properties.Default("client.id", "console-producer")
	if o.CreateTopic {
		so.Client = append(so.Client, kgo.AllowAutoTopicCreation())
	}
	s, err := session.Open(ctx, so)
	if err != nil {
		return err
	}
	defer s.Close()
	p := producing{s: s, o: &o}
	err = p.run(ctx)
	flush, cancel := context.WithTimeout(context.WithoutCancel(ctx), drain)
	defer cancel()
	if ctx.Err() == nil {
		flush = ctx // nobody is in a hurry
	}
	if flushed := s.Client.Flush(flush); flushed != nil && err == nil {
		err = fmt.Errorf("send what was read: %w", flushed)
	}
	if err == nil && p.failed.Load() > 0 {
		err = session.ErrReported
	}
	return err
}

// producing is one run of Produce.
type producing struct {
	s      *session.Session
	o      *ProduceOptions
	failed atomic.Int64
}

// run reads and sends. Reading has a goroutine of its own, for a terminal cannot be
// told to stop waiting for somebody to type.
func (p *producing) run(ctx context.Context) error {
	type read struct {
		line []byte
		err  error
	}
	lines := make(chan read, 64)
	go func() {
		in := bufio.NewReaderSize(p.s.In, 64<<10)
		for {
			if p.s.Terminal {
				fmt.Fprint(p.s.Out, ">")
			}
			line, err := readLine(in)
			select {
			case lines <- read{line, err}:
			case <-ctx.Done():
				return
			}
			if err != nil {
				return
			}
		}
	}()
	for {
		select {
		case <-ctx.Done():
			return nil
		case next := <-lines:
			if errors.Is(next.err, io.EOF) {
				return nil
			}
			if next.err != nil {
				return fmt.Errorf("read lines: %w", next.err)
			}
			record, err := p.o.Reader.Record(next.line)
			if err != nil {
				return err
			}
			if err := p.send(ctx, record); err != nil {
				return err
			}
		}
	}
}

func (p *producing) send(ctx context.Context, record *kgo.Record) error {
	if p.o.Sync {
		return p.s.Client.ProduceSync(ctx, record).FirstErr()
	}
	p.s.Client.Produce(context.WithoutCancel(ctx), record, func(r *kgo.Record, err error) {
		if err != nil {
			p.failed.Add(1)
			fmt.Fprintf(p.s.Err, "ERROR Error when sending message to topic %s with key: %s, value: %s with error: %s\n",
				r.Topic, size(r.Key), size(r.Value), session.Exception(err))
		}
	})
	return nil
}

func size(p []byte) string {
	if p == nil {
		return "null"
	}
	return fmt.Sprintf("%d bytes", len(p))
}
