package engine

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"time"
)

// adminServer serves metrics and profiles.
type adminServer struct {
	server *http.Server
	listen net.Listener
	ended  chan struct{}
}

// startAdmin serves on address; an empty address is nowhere.
func startAdmin(address string, b *Broker) (*adminServer, error) {
	if address == "" {
		return nil, nil
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listen on admin.listener=%s (another broker may have it; an empty value turns it off): %w", address, err)
	}
	mux := http.NewServeMux()
	mux.Handle("/metrics", b.metrics.Handler())
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	a := &adminServer{server: &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}, listen: l, ended: make(chan struct{})}
	go func() {
		defer close(a.ended)
		if err := a.server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			b.log.Error("admin address ended", "address", address, "error", err)
		}
	}()
	return a, nil
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
