package client_test

import (
	"context"
	"io"
	"net"
	"testing"
	"time"

	"github.com/millrace/millrace/sdk"
	"github.com/millrace/millrace/sdk/client"
	"github.com/millrace/millrace/sdk/kit"
)

// forward carries connections of l to an address until ctx ends, and with it all of them.
func forward(ctx context.Context, l net.Listener, to string) {
	context.AfterFunc(ctx, func() { l.Close() })
	for {
		in, err := l.Accept()
		if err != nil {
			return
		}
		out, err := net.Dial("tcp", to)
		if err != nil {
			in.Close()
			continue
		}
		context.AfterFunc(ctx, func() { in.Close(); out.Close() })
		go func() { _, _ = io.Copy(out, in); out.Close() }()
		go func() { _, _ = io.Copy(in, out); in.Close() }()
	}
}

// behind is a broker with a topic t that clients reach by way of an address that can be cut.
func behind(ctx context.Context, t *testing.T) (b *kit.Broker, way string, cut context.CancelFunc) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	way = l.Addr().String()
	b = kit.Start(t, kit.Options{Topics: map[string]int32{"t": 1}, Settings: map[string]string{"advertised.listeners": "PLAINTEXT://" + way}})
	before, cut := context.WithCancel(ctx)
	go forward(before, l, b.Address())
	return b, way, cut
}

// CommitSync tries as long as it may when the broker is away: it is being started again, perhaps.
func TestCommitSyncOutlastsAnOutage(t *testing.T) {
	for _, protocol := range []string{"classic", "consumer"} {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			b, way, cut := behind(ctx, t)
			c, err := client.NewConsumer(client.Config{"bootstrap.servers": way, "group.id": "g", "group.protocol": protocol, "auto.offset.reset": "earliest", "enable.auto.commit": "false"},
				client.ConsumerOptions[string, string]{})
			if err != nil {
				t.Fatal(err)
			}
			if err := c.Subscribe([]string{"t"}, nil); err != nil {
				t.Fatal(err)
			}
			for assigned := 0; assigned == 0; {
				if _, err := c.Poll(ctx, 20*time.Millisecond); err != nil {
					t.Fatal(err)
				}
				partitions, err := c.Assignment()
				if err != nil {
					t.Fatal(err)
				}
				assigned = len(partitions)
			}
			cut()
			time.AfterFunc(1500*time.Millisecond, func() {
				if again, err := net.Listen("tcp", way); err == nil {
					forward(ctx, again, b.Address())
				}
			})
			if err := c.CommitSync(ctx, offsets(at("t", 0), 0)); err != nil {
				t.Error(err)
			}
			if err := c.Close(ctx); err != nil {
				t.Error(err)
			}
		})
	}
}

// A listener that commits, with all the time there is, holds up who closes the consumer no longer
// than that may take.
func TestCommitOfAListenerEndsWithClose(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	_, way, cut := behind(ctx, t)
	defer cut()
	c, err := client.NewConsumer(client.Config{"bootstrap.servers": way, "group.id": "g", "enable.auto.commit": "false"}, client.ConsumerOptions[string, string]{})
	if err != nil {
		t.Fatal(err)
	}
	var assigned, commits int
	err = c.Subscribe([]string{"t"}, client.RebalanceFuncs{
		Assigned: func(context.Context, []sdk.TopicPartition) error { assigned++; return nil },
		Revoked: func(context.Context, []sdk.TopicPartition) error {
			commits++
			return c.CommitSync(context.WithoutCancel(ctx), offsets(at("t", 0), 0))
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	for assigned == 0 {
		if _, err := c.Poll(ctx, 20*time.Millisecond); err != nil {
			t.Fatal(err)
		}
	}
	cut()
	short, stop := context.WithTimeout(ctx, 2*time.Second)
	defer stop()
	began := time.Now()
	if err := c.Close(short); err == nil || commits != 1 {
		t.Errorf("closed with %d commits: %v", commits, err)
	}
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("Close took %v", took)
	}
}
