package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/millrace/millrace/engine/config"
	"github.com/millrace/millrace/sdk/setting"
)

// adminServer serves metrics and profiles.
type adminServer struct {
	server *http.Server
	listen net.Listener
	ended  chan struct{}
}

// listenAdmin listens where the settings say; an empty address is nowhere. The default
// port is one for all brokers of a machine: who did not ask for it gets another when it
// is taken, so that a second broker needs no more settings than Kafka's does.
func listenAdmin(v *setting.Values, log *slog.Logger) (net.Listener, error) {
	address := config.AdminListener.Of(v)
	if address == "" {
		return nil, nil
	}
	l, err := net.Listen("tcp", address)
	if err == nil {
		return l, nil
	}
	if given := v.Given(config.Settings.Lookup("admin.listener")); given[0].Source == setting.SourceDefault && errors.Is(err, syscall.EADDRINUSE) {
		host, _, _ := net.SplitHostPort(address)
		if l, err = net.Listen("tcp", net.JoinHostPort(host, "0")); err == nil {
			log.Warn("the default admin.listener is taken, by another broker it seems; this one has its own", "default", address, "admin", l.Addr().String())
			return l, nil
		}
	}
	return nil, fmt.Errorf("listen on admin.listener=%s (another program may have it; an empty value turns it off): %w", address, err)
}

// startAdmin serves metrics and profiles, unless they are turned off.
func startAdmin(v *setting.Values, b *Broker) (*adminServer, error) {
	l, err := listenAdmin(v, b.log)
	if l == nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("/metrics", b.metrics.Handler())
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", b.serveProfile)
	mux.Handle("/debug/pprof/mutex", mutexes.during(pprof.Handler("mutex")))
	mux.Handle("/debug/pprof/block", blocking.during(pprof.Handler("block")))
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	a := &adminServer{listen: l, ended: make(chan struct{}), server: &http.Server{
		Handler: patient(http.MaxBytesHandler(mux, adminBody)), ReadHeaderTimeout: 5 * time.Second, IdleTimeout: adminIdle, MaxHeaderBytes: adminHeader,
	}}
	go func() {
		defer close(a.ended)
		if err := a.server.Serve(&fewConns{Listener: l}); !errors.Is(err, http.ErrServerClosed) {
			b.log.Error("admin address ended", "address", l.Addr().String(), "error", err)
		}
	}()
	return a, nil
}

// What may be asked of the admin address. It has no access control, and must not cost the broker its memory and its
// file descriptors.
const (
	adminConns  = 64       // open at once; a further one is closed
	adminHeader = 16 << 10 // bytes of a request's header
	adminBody   = 64 << 10 // bytes behind it: pprof resolves symbols
	adminIdle   = time.Minute
	adminAnswer = 30 * time.Second // to take an answer, beside the time that a profile takes
)

// patient gives whoever asks some time to send a body and to take the answer.
func patient(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seconds, err := strconv.Atoi(r.URL.Query().Get("seconds"))
		if err != nil && strings.HasPrefix(r.URL.Path, "/debug/pprof/") { // which has a time of its own
			seconds = 60
		}
		now, c := time.Now(), http.NewResponseController(w)
		if seconds < 1<<30 {
			_ = c.SetWriteDeadline(now.Add(time.Duration(seconds)*time.Second + adminAnswer)) // else it takes what it takes
		}
		if r.ContentLength != 0 { // not otherwise: the end of that time would be the end of a profile
			_ = c.SetReadDeadline(now.Add(adminAnswer))
		}
		h.ServeHTTP(w, r)
	})
}

// fewConns closes connections beyond adminConns.
type fewConns struct {
	net.Listener
	open atomic.Int32
}

func (l *fewConns) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if l.open.Add(1) <= adminConns {
			return &oneOfFew{Conn: c, of: l}, nil
		}
		l.open.Add(-1)
		_ = c.Close() // nobody waits for it
	}
}

// oneOfFew is one of the connections that are counted.
type oneOfFew struct {
	net.Conn
	of     *fewConns
	closed atomic.Bool
}

func (c *oneOfFew) Close() error {
	if c.closed.CompareAndSwap(false, true) {
		c.of.open.Add(-1)
	}
	return c.Conn.Close()
}

func (a *adminServer) address() string {
	if a == nil {
		return ""
	}
	return a.listen.Addr().String()
}

// adminGrace is how long a profile that is under way may take to end.
const adminGrace = time.Second

func (a *adminServer) close() {
	if a == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), adminGrace)
	defer cancel()
	if a.server.Shutdown(ctx) != nil {
		a.server.Close() //nolint:errcheck // going down
	}
	<-a.ended
}
