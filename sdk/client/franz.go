package client

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"net"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace/sdk/setting"
)

// franz is what the common settings are to franz-go, which every client that it carries
// begins with. It has no wait of its own before it connects again: retry.backoff.ms stands
// for reconnect.backoff.ms. Times that it refuses become the nearest that it takes.
func (s *settings) franz() []kgo.Opt {
	options := []kgo.Opt{
		kgo.SeedBrokers(BootstrapServers.Of(s.Values)...),
		kgo.ClientID(ClientID.Of(s.Values)),
		kgo.SoftwareNameAndVersion("millrace", "0"),
		kgo.RequestTimeoutOverhead(within(100*time.Millisecond, RequestTimeout.Of(s.Values), 15*time.Minute)),
		kgo.RetryBackoffFn(s.retryBackoff()),
		kgo.Dialer(s.dial),
		kgo.WithLogger(franzLog{s.log}),
	}
	if rack := ClientRack.Of(s.Values); rack != "" {
		options = append(options, kgo.Rack(rack))
	}
	if s.proof != nil {
		options = append(options, kgo.SASL(s.proof))
	}
	age := within(10*time.Millisecond, MetadataMaxAge.Of(s.Values), time.Hour)
	options = append(options, kgo.MetadataMaxAge(age), kgo.MetadataMinAge(min(age, 100*time.Millisecond)))
	idle := ConnectionsMaxIdle.Of(s.Values)
	if idle < 0 {
		idle = setting.Forever
	}
	return append(options, kgo.ConnIdleTimeout(within(100*time.Millisecond, idle, 15*time.Minute)))
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

// within is t, or the bound of franz-go's that it is beyond.
func within(least, t, most time.Duration) time.Duration { return min(max(t, least), most) }

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
