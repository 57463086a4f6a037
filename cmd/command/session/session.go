package session

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Streams are where a tool reads and prints.
type Streams struct {
	In       io.Reader
	Out, Err io.Writer
	// Terminal says that a person types at In and looks at Out.
	Terminal bool
	// Screen is a terminal that may show what is being waited for; nil: there is none.
	Screen io.Writer
}

// Options say which cluster a session is with, and how.
type Options struct {
	Streams
	// Servers is the list given with --bootstrap-server: host:port,host:port.
	// Empty: the property bootstrap.servers.
	Servers string
	// Properties are the client's settings. Nil: none.
	Properties Properties
	// Role adds the settings of producers or consumers. Zero: an admin client.
	Role Role
	// Client holds further options for the client, stronger than Properties.
	Client []kgo.Opt
	// Wait bounds how long a first answer is waited for. Zero: the property
	// default.api.timeout.ms, and without it ten seconds.
	Wait time.Duration
}

// Session is a client whose cluster has answered.
type Session struct {
	Streams
	Client *kgo.Client
	Admin  *kadm.Client
	apis   *kmsg.ApiVersionsResponse // of the broker that answered first
}

const defaultWait = 10 * time.Second

// Open makes a client and waits, within bounds, until a broker answers it.
func Open(ctx context.Context, o Options) (*Session, error) {
	if o.Properties == nil {
		o.Properties = Properties{}
	}
	servers := o.Servers
	if servers == "" {
		servers = o.Properties["bootstrap.servers"]
	}
	seeds, err := seeds(servers)
	if err != nil {
		return nil, err
	}
	options, unknown, err := clientOptions(o.Properties, o.Role)
	if err != nil {
		return nil, err
	}
	for _, name := range unknown {
		fmt.Fprintf(o.Err, "WARN The property %s is not known here and is ignored.\n", name)
	}
	secure, err := securityOptions(o.Properties)
	if err != nil {
		return nil, err
	}
	options = append(append(options, secure...), kgo.SeedBrokers(seeds...), kgo.DisableClientMetrics())
	client, err := kgo.NewClient(append(options, o.Client...)...)
	if err != nil {
		return nil, fmt.Errorf("make a client: %w", err)
	}
	s := &Session{Streams: o.Streams, Client: client, Admin: kadm.NewClient(client)}
	if err := s.await(ctx, o.wait(), seeds); err != nil {
		client.Close()
		return nil, err
	}
	return s, nil
}

// Close ends the session. A client that is a member of a group leaves it first.
func (s *Session) Close() { s.Client.CloseAllowingRebalance() }

func (o *Options) wait() time.Duration {
	if o.Wait > 0 {
		return o.Wait
	}
	if d, err := parseMillis(o.Properties["default.api.timeout.ms"]); err == nil && d > 0 {
		return d
	}
	return defaultWait
}

// seeds cuts and checks a list of addresses.
func seeds(servers string) ([]string, error) {
	var all []string
	for one := range strings.SplitSeq(servers, ",") {
		one = strings.TrimSpace(one)
		if one == "" {
			continue
		}
		host, port, err := net.SplitHostPort(one)
		if err != nil || host == "" || port == "" {
			return nil, fmt.Errorf("bootstrap server %q: expected host:port like host1:9091,host2:9092", one)
		}
		all = append(all, one)
	}
	if len(all) == 0 {
		return nil, errors.New("no bootstrap server given: name one with --bootstrap-server host:port")
	}
	return all, nil
}

// Unreachable is the error of a cluster that did not answer in time.
type Unreachable struct {
	Servers []string
	Waited  time.Duration
	Cause   error
}

func (u *Unreachable) Error() string {
	return fmt.Sprintf("no broker answers at %s within %v (%v). Is one running there? "+
		"`millrace serve` starts one on 127.0.0.1:9092; --bootstrap-server HOST:PORT names another",
		strings.Join(u.Servers, ", "), u.Waited, u.Cause)
}

func (u *Unreachable) Unwrap() error { return u.Cause }

// Denied is the error of a broker that does not take the login.
type Denied struct {
	Servers []string
	Cause   error
}

func (d *Denied) Error() string {
	return fmt.Sprintf("the broker at %s refuses the login (%v): are sasl.mechanism, the user and the password right in the file of --command-config?",
		strings.Join(d.Servers, ", "), d.Cause)
}

func (d *Denied) Unwrap() error { return d.Cause }

// await asks for the API versions until somebody answers: first at once, then
// ever more slowly, so that a broker that is just starting is not missed.
func (s *Session) await(ctx context.Context, wait time.Duration, seeds []string) error {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	var last error
	for pause := 50 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		response, err := kmsg.NewPtrApiVersionsRequest().RequestWith(ctx, s.Client)
		if err == nil {
			err = kerr.ErrorForCode(response.ErrorCode)
		}
		if err == nil {
			s.apis = response
			return nil
		}
		if last == nil || ctx.Err() == nil {
			last = err
		}
		if refusesLogin(err) {
			return &Denied{seeds, err}
		}
		select {
		case <-ctx.Done():
			return &Unreachable{seeds, wait, cause(last)}
		case <-time.After(pause):
		}
	}
}

// refusesLogin reports whether the broker knows enough to say no: asking again cannot help.
func refusesLogin(err error) bool {
	return errors.Is(err, kerr.SaslAuthenticationFailed) || errors.Is(err, kerr.UnsupportedSaslMechanism)
}

// cause is the part of an error that a person can act on.
func cause(err error) error {
	var dial *net.OpError
	switch {
	case errors.As(err, &dial):
		return dial
	case errors.Is(err, io.EOF):
		return errors.New("something there closes the connection: are security.protocol and the password right?")
	}
	return err
}

// Supports reports whether the broker that answered first has an API at all.
func (s *Session) Supports(key kmsg.Key) bool {
	for _, api := range s.apis.ApiKeys {
		if api.ApiKey == key.Int16() {
			return true
		}
	}
	return false
}

// ErrUnsupported is the error of an API that the cluster does not have.
func (s *Session) ErrUnsupported(key kmsg.Key) error {
	return &Refusal{kerr.UnsupportedVersion, fmt.Sprintf("The node does not support %s", screaming(key.Name()))}
}

// screaming is a name as Kafka writes those of its APIs: DESCRIBE_CLIENT_QUOTAS.
func screaming(name string) string {
	var out strings.Builder
	upper := func(i int) bool { return i < len(name) && name[i] >= 'A' && name[i] <= 'Z' }
	for i, r := range name {
		if i > 0 && upper(i) && (!upper(i-1) || i+1 < len(name) && !upper(i+1)) {
			out.WriteByte('_')
		}
		out.WriteRune(r)
	}
	return strings.ToUpper(out.String())
}
