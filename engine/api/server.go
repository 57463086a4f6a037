package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"time"

	"github.com/millrace/millrace/engine/cluster"
	"github.com/millrace/millrace/engine/config"
	"github.com/millrace/millrace/engine/group"
	"github.com/millrace/millrace/engine/label"
	"github.com/millrace/millrace/engine/metrics"
	"github.com/millrace/millrace/engine/security"
	"github.com/millrace/millrace/engine/shard"
	"github.com/millrace/millrace/engine/unpack"
	"github.com/millrace/millrace/engine/wire"
	"github.com/millrace/millrace/netpoll"
	"github.com/millrace/millrace/sdk"
	"github.com/millrace/millrace/sdk/setting"
)

// ErrRequest closes a connection whose peer sent something that is no request of ours.
var ErrRequest = errors.New("malformed request")

// Controller decides about the cluster.
type Controller interface {
	// Image is the newest committed picture (any goroutine).
	Image() *cluster.Image
	// Change has decide look at the newest picture, later decisions seeing earlier ones,
	// and calls done once its records are committed and this broker serves what they say.
	// Both run on the controller's goroutine and must not block. A controller that is busy, closed
	// or has failed calls done alone, at once perhaps and where it was asked: whoever answers for
	// many must then know of whom, without a decision.
	Change(decide func(*cluster.Image) ([]cluster.Record, error), done func(*cluster.Image, error))
}

// Options are what the API needs to know and whom it asks.
type Options struct {
	NodeID     int32
	Controller Controller
	Registry   *shard.Registry
	Shards     []*shard.Shard
	Disks      []*shard.Disk
	Values     func() *setting.Values // settings as they are now
	// MetadataLog tells how far the metadata log is (any goroutine). Read before the image,
	// it is never ahead of it.
	MetadataLog func() MetadataLog
	Pool        *unpack.Pool   // decompresses for loops
	Memory      *unpack.Budget // lends what must be held decompressed. Nil: 64 MiB
	// CheckPlugins refuses settings of a resource that name interceptors which cannot be had. It
	// is asked within decisions of the controller. While plugins are being made its error is a
	// Later, and it is asked again. Nil: all can.
	CheckPlugins func(i *cluster.Image, w *cluster.Whole) error
	// Authorizer says who may do what (any goroutine). Nil: everybody may do everything.
	Authorizer sdk.Authorizer
	// KeepsACLs says that it decides by the bindings in the metadata log.
	KeepsACLs bool
	Metrics   *metrics.Metrics
	Log       *slog.Logger
	// Random draws 16 bytes (any goroutine). Nil: from crypto/rand.
	Random func() [16]byte
	// Now is the clock that shards go by (any goroutine); loops have the system's. Nil: time.Now.
	Now func() time.Time
	// Later runs f after a delay, on a goroutine of its choice, unless it is stopped before. Nil: time.AfterFunc.
	Later func(delay time.Duration, f func()) (stop func())
}

// Server answers what arrives on the connections of one broker.
type Server struct {
	Options
	table     [128]*entry
	answers   *unpack.Share          // beside Memory: what waits for sockets, which may be for ever
	asideSize func(topic string) int // sizeOfAside, made once
	starved   atomic.Int64           // when it was last said that fetches find no memory
	sessions  fetchSlots
	producers producerBlock
	farewells farewells
	denials   sparing
	strangers sparing // lines about connections that were closed for what their peer did
}

// New makes a server.
func New(o Options) *Server {
	if o.Random == nil {
		o.Random = random
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Later == nil {
		o.Later = func(delay time.Duration, f func()) func() {
			t := time.AfterFunc(delay, f)
			return func() { t.Stop() }
		}
	}
	if o.Memory == nil {
		o.Memory = unpack.NewBudget(64 << 20)
	}
	s := &Server{Options: o, table: table(), answers: o.Memory.Share(2)}
	s.asideSize = s.sizeOfAside
	s.sessions.limit = int32(config.FetchSessionSlots.Of(o.Values()))
	return s
}

// Unread is how many bytes answers hold that interceptors have seen and sockets have not taken.
func (s *Server) Unread() int64 { return s.answers.Used() }

// Listener is one address that clients come in by. It is the handler of its connections.
type Listener struct {
	server *Server
	name   string
	host   string
	port   atomic.Int32
	proofs *security.Listener // how clients prove who they are; nil: they need not
}

// Listener makes the handler of a listener, which tells clients to come to host and port.
func (s *Server) Listener(name, host string, port int) *Listener {
	l := &Listener{server: s, name: name, host: host}
	l.port.Store(int32(port))
	return l
}

// SetPort says which port was found when any would do.
func (l *Listener) SetPort(port int) { l.port.Store(int32(port)) }

func (l *Listener) advertised() (host string, port int32) { return l.host, l.port.Load() }

// session is what a listener remembers of one connection; its loop owns it.
type session struct {
	who             sdk.Requester // anonymous until somebody proves more
	clientID        string        // of the last request
	software        string        // from ApiVersions (KIP-511)
	softwareVersion string
	fetches         fetchSessions
	waiting         *fetchCall
	awaited         int // partitions that its waiting fetches watch
	filters         filterTurns
	refusals        refusals
	closed          bool
	guarded         bool   // proof has a say before a request is served
	proof           *proof // nil: nothing has to be proved
}

// Open begins a connection.
func (l *Listener) Open(c *netpoll.Conn) {
	peer, _ := netip.ParseAddrPort(c.RemoteAddr()) // one that cannot be read is nobody's host
	state := &session{who: sdk.Requester{Principal: sdk.Anonymous, Peer: sdk.Peer{Listener: l.name, Host: peer.Addr().Unmap()}}}
	c.State = state
	if l.proofs != nil {
		state.demandProof(l, c)
	}
}

// Close ends it, and what waits for it.
func (l *Listener) Close(c *netpoll.Conn, cause error) {
	state := c.State.(*session)
	state.closed = true
	if state.proof != nil {
		state.proof.close()
	}
	state.abandonFetches()
	state.fetches.closeAll(&l.server.sessions)
	if blamed(cause) {
		l.server.logStranger(slog.LevelWarn, "connection closed", "peer", c.RemoteAddr(), "client", state.clientID[:min(len(state.clientID), longestName)], "reason", cause)
	}
}

// longestName is how much of a client's name a line of the log has.
const longestName = 100

// blamed reports whether somebody should look into why a connection was closed: its peer
// does not speak the protocol, or a reply could not be completed.
func blamed(cause error) bool {
	return errors.Is(cause, ErrRequest) || errors.Is(cause, netpoll.ErrFrameTooLarge) ||
		errors.Is(cause, netpoll.ErrFrameNegative) || errors.Is(cause, netpoll.ErrReplyTooLarge) || errors.Is(cause, netpoll.ErrFileShort)
}

// Frame answers one request.
//
// Ownership: the frame is released by the handler of its key, or here.
func (l *Listener) Frame(conn *netpoll.Conn, frame *netpoll.Frame) {
	s := l.server
	state := conn.State.(*session)
	if state.guarded && !state.proof.admit(frame) {
		return
	}
	h, err := wire.ParseHeader(frame.Bytes(), s.flexibleFrom)
	if err != nil {
		conn.Close(fmt.Errorf("%w: %d bytes do not hold a request header", ErrRequest, len(frame.Bytes())))
		frame.Release()
		return
	}
	e := s.lookup(h.Key)
	if e == nil {
		frame.Release()
		conn.Close(fmt.Errorf("%w: API key %d is not served", ErrRequest, h.Key))
		return
	}
	state.remember(h.ClientID)
	if label.On() {
		mark(conn, e.labels)
	}
	c := call{server: s, listener: l, conn: conn, session: state, slot: conn.Reserve(), key: h.Key, version: h.Version, correlation: h.Correlation, received: conn.Loop().Now()}
	if e.holds {
		c.slot.Hold(e.beside)
	}
	if h.Version < e.served || h.Version > e.max {
		err = c.unsupported(frame, h.Body)
	} else {
		err = e.serve(c, frame, h.Body)
	}
	if err != nil {
		c.slot.Discard()
		conn.Close(fmt.Errorf("%w: %s version %d: %w", ErrRequest, e.name, h.Version, err))
	}
}

// mark has what is done for a connection carry labels, in profiles, until others are set.
func mark(conn *netpoll.Conn, labels context.Context) {
	conn.Labels = labels
	label.Set(labels)
}

// remember keeps the client's name without taking memory for it each time.
func (s *session) remember(clientID []byte) {
	if s.clientID != string(clientID) {
		s.clientID = string(clientID)
	}
}

func (s *Server) lookup(key int16) *entry {
	if key < 0 || int(key) >= len(s.table) {
		return nil
	}
	return s.table[key]
}

func (s *Server) flexibleFrom(key int16) (int16, bool) {
	if e := s.lookup(key); e != nil {
		return e.flexible, true
	}
	return 0, false
}

// GroupOptions are the settings of group coordinators.
func (s *Server) GroupOptions() group.Options {
	v := s.Values()
	delay := config.GroupInitialDelay.Of(v)
	if delay <= 0 {
		delay = -1 // none; zero would mean the default
	}
	return group.Options{
		SessionMin: config.GroupMinSession.Of(v), SessionMax: config.GroupMaxSession.Of(v), InitialDelay: delay,
		MaxSize: config.GroupMaxSize.Of(v), MetadataMax: config.OffsetMetadataMax.Of(v),
		Retention: config.OffsetsRetention.Of(v), CheckInterval: config.OffsetsRetentionCheck.Of(v),
		ConsumerMaxSize:    config.ConsumerMaxSize.Of(v),
		ConsumerSession:    group.Bounds{Value: config.ConsumerSession.Of(v), Min: config.ConsumerMinSession.Of(v), Max: config.ConsumerMaxSession.Of(v)},
		ConsumerHeartbeat:  group.Bounds{Value: config.ConsumerHeartbeat.Of(v), Min: config.ConsumerMinHeartbeat.Of(v), Max: config.ConsumerMaxHeartbeat.Of(v)},
		AssignmentInterval: group.Bounds{Value: config.ConsumerAssignment.Of(v), Min: config.ConsumerMinAssignment.Of(v), Max: config.ConsumerMaxAssignment.Of(v)},
		Assignors:          config.ConsumerAssignors.Of(v),
		Migration:          migrations[strings.ToUpper(config.ConsumerMigration.Of(v))],
	}
}

// migrations are the values of group.consumer.migration.policy.
var migrations = map[string]group.Migration{
	"BIDIRECTIONAL": group.MigrationBidirectional, "UPGRADE": group.MigrationUpgrade,
	"DOWNGRADE": group.MigrationDowngrade, "DISABLED": group.MigrationDisabled,
}

// hostOf is the host of "host:port".
func hostOf(address string) string {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return address
	}
	return host
}
