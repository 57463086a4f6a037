package client

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace/sdk/setting"
)

// franz is what the common settings are to franz-go, which every client that it carries
// begins with. It has no wait of its own before it connects again, so dialing waits. Times that
// it refuses become the nearest that it takes; bounded tells of them.
func (s *settings) franz() []kgo.Opt {
	options := []kgo.Opt{
		kgo.SeedBrokers(BootstrapServers.Of(s.Values)...),
		kgo.ClientID(ClientID.Of(s.Values)),
		kgo.SoftwareNameAndVersion("millrace", "0"),
		kgo.RequestTimeoutOverhead(franzRequests.within(RequestTimeout.Of(s.Values))),
		kgo.RetryBackoffFn(s.retryBackoff()),
		kgo.Dialer(waiting(s.reconnectBackoff(), s.dial)),
		kgo.WithLogger(franzLog{s.log}),
	}
	if rack := ClientRack.Of(s.Values); rack != "" {
		options = append(options, kgo.Rack(rack))
	}
	if s.proof != nil {
		options = append(options, kgo.SASL(s.proof))
	}
	age := franzMetadata.within(MetadataMaxAge.Of(s.Values))
	options = append(options, kgo.MetadataMaxAge(age), kgo.MetadataMinAge(min(age, 100*time.Millisecond)))
	return append(options, kgo.ConnIdleTimeout(franzIdle.within(s.maxIdle())))
}

// maxIdle is connections.max.idle.ms.
func (s *settings) maxIdle() time.Duration {
	if idle := ConnectionsMaxIdle.Of(s.Values); idle >= 0 {
		return idle
	}
	return setting.Forever
}

// bounds are the least and the most that franz-go takes of a time.
type bounds struct{ least, most time.Duration }

var (
	franzRequests = bounds{100 * time.Millisecond, 15 * time.Minute}
	franzMetadata = bounds{10 * time.Millisecond, time.Hour}
	franzIdle     = bounds{100 * time.Millisecond, 15 * time.Minute}
)

// within is t, or the bound that it is beyond.
func (b bounds) within(t time.Duration) time.Duration { return min(max(t, b.least), b.most) }

// bounded warns of times that franz-go does not take as they are. Each client that it carries
// calls it once.
func (s *settings) bounded() {
	for _, one := range []struct {
		key  string
		time time.Duration
		bounds
	}{
		{RequestTimeout.Name, RequestTimeout.Of(s.Values), franzRequests},
		{MetadataMaxAge.Name, MetadataMaxAge.Of(s.Values), franzMetadata},
		{ConnectionsMaxIdle.Name, s.maxIdle(), franzIdle},
	} {
		if taken := one.within(one.time); taken != one.time {
			s.log.Warn("a setting has not all of its effect", "client", s.role, "setting", one.key, "instead", taken,
				"why", fmt.Sprintf("franz-go, which carries this client, takes %v to %v", one.least, one.most))
		}
	}
}

// retryBackoff is how long to wait before a try after so many that failed.
func (s *settings) retryBackoff() func(tries int) time.Duration {
	first, most := RetryBackoff.Of(s.Values), RetryBackoffMax.Of(s.Values)
	return func(tries int) time.Duration { return backoff(first, most, tries, rand.Float64()) }
}

// reconnectBackoff is the same for connections.
func (s *settings) reconnectBackoff() func(tries int) time.Duration {
	first, most := ReconnectBackoff.Of(s.Values), ReconnectBackoffMax.Of(s.Values)
	return func(tries int) time.Duration { return backoff(first, most, tries, rand.Float64()) }
}

// dial connects to a broker as the settings say.
func (s *settings) dial(ctx context.Context, network, address string) (net.Conn, error) {
	dialer := net.Dialer{Timeout: ConnectionSetup.Of(s.Values)}
	connection, err := dialer.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	if tcp, ok := connection.(*net.TCPConn); ok {
		// Sizes that the system does not like it changes by itself.
		if size := SendBufferBytes.Of(s.Values); size > 0 {
			_ = tcp.SetWriteBuffer(size)
		}
		if size := ReceiveBufferBytes.Of(s.Values); size > 0 {
			_ = tcp.SetReadBuffer(size)
		}
	}
	return connection, nil
}

// dial is a way to connect.
type dial = func(ctx context.Context, network, address string) (net.Conn, error)

// unreached is a broker that could not be connected to.
type unreached struct {
	tries int
	until time.Time // when it may be tried again
}

// waiting is connect, which after each failure waits before it tries the same address again.
// Connections of one client that fail together count as one failure.
func waiting(backoff func(tries int) time.Duration, connect dial) dial {
	known := make(chan map[string]unreached, 1) // whoever takes it out has it
	known <- map[string]unreached{}
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		all := <-known
		at := all[address]
		known <- all
		if err := pause(ctx, time.Until(at.until)); err != nil {
			return nil, fmt.Errorf("wait to connect to %s again: %w", address, err)
		}
		connection, err := connect(ctx, network, address)
		all = <-known
		switch now := all[address]; {
		case err == nil:
			delete(all, address)
		case ctx.Err() == nil && now == at: // else nobody wanted it any more, or another has counted this
			at.tries++
			at.until = time.Now().Add(backoff(at.tries))
			all[address] = at
		}
		known <- all
		return connection, err
	}
}

// pause waits so long, or until ctx ends.
func pause(ctx context.Context, wait time.Duration) error {
	if wait <= 0 {
		return nil
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// franzLog passes on what franz-go has to say. What it calls information is about itself.
type franzLog struct{ log *slog.Logger }

// Level is how much it shall say.
func (f franzLog) Level() kgo.LogLevel {
	switch ctx := context.Background(); {
	case f.log.Enabled(ctx, slog.LevelDebug):
		return kgo.LogLevelInfo
	case f.log.Enabled(ctx, slog.LevelWarn):
		return kgo.LogLevelWarn
	case f.log.Enabled(ctx, slog.LevelError):
		return kgo.LogLevelError
	default:
		return kgo.LogLevelNone
	}
}

// Log passes a line on.
func (f franzLog) Log(level kgo.LogLevel, text string, pairs ...any) {
	at := slog.LevelDebug
	switch level {
	case kgo.LogLevelError:
		at = slog.LevelError
	case kgo.LogLevelWarn:
		at = slog.LevelWarn
	}
	f.log.Log(context.Background(), at, text, pairs...)
}
