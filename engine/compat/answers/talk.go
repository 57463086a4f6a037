package answers

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kbin"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/engine/compat/report"
)

// A Talk is one run of a case: connections that are opened as they are named, and what was said. It belongs to one
// goroutine. What ends it early panics with an end, which run writes down.
type Talk struct {
	*Line   // the connection that has no name
	ctx     context.Context
	address string
	lines   map[string]*Line
	text    strings.Builder
	symbols symbols
	mask    []string
	words   bool
	quiet   bool // nothing is written down
}

// end is why a case ended before its last question.
type end struct{ reason string }

// patience is how long a broker may take for an answer.
const patience = 15 * time.Second

// run has the conversation and answers it as text.
func (c Case) run(ctx context.Context, address string) (text string) {
	t := &Talk{ctx: ctx, address: address, lines: map[string]*Line{}, mask: c.Mask, words: c.Words}
	t.Line = &Line{talk: t}
	defer func() {
		switch e := recover().(type) {
		case nil:
		case end:
			t.say("! " + e.reason)
		default:
			t.say(fmt.Sprint("! the case panicked: ", e))
		}
		t.Close()
		for _, l := range t.lines {
			l.Close()
		}
		text = t.text.String()
	}()
	c.Ask(t)
	return ""
}

// say writes a line down.
func (t *Talk) say(line string) {
	if !t.quiet {
		t.text.WriteString(t.symbols.name(line) + "\n")
	}
}

// Note writes a line of the case's own down.
func (t *Talk) Note(format string, arguments ...any) { t.say("- " + fmt.Sprintf(format, arguments...)) }

// On is the connection of that name, which is opened when it is first used.
func (t *Talk) On(name string) *Line {
	if t.lines[name] == nil {
		t.lines[name] = &Line{talk: t, name: name + " "}
	}
	return t.lines[name]
}

// Quietly has questions asked that are not written down: they set the scene.
func (t *Talk) Quietly(ask func()) {
	before := t.quiet
	t.quiet = true
	defer func() { t.quiet = before }()
	ask()
}

// Until asks until the answer is right, or for ten seconds, and writes the last down. A cluster tells its brokers of a
// change after it acknowledged it.
func (t *Talk) Until(version int16, q kmsg.Request, right func(a kmsg.Response) bool) (a kmsg.Response) {
	t.Quietly(func() {
		_ = report.Eventually(t.ctx, func() error { // what it is in the end is compared
			if a = t.Ask(version, q); a == nil || !right(a) {
				return errors.New("not yet")
			}
			return nil
		})
	})
	return t.Ask(version, q)
}

// Topic makes a topic, unless it is there, without writing it down, waits until it is led, and answers its id.
func (t *Talk) Topic(name string, partitions int32, configs ...string) (id [16]byte) {
	q := kmsg.NewPtrCreateTopicsRequest()
	q.TimeoutMillis = 10000
	topic := kmsg.NewCreateTopicsRequestTopic()
	topic.Topic, topic.NumPartitions, topic.ReplicationFactor = name, partitions, 1
	for _, config := range configs {
		c := kmsg.NewCreateTopicsRequestTopicConfig()
		key, value, _ := strings.Cut(config, "=")
		c.Name, c.Value = key, &value
		topic.Configs = append(topic.Configs, c)
	}
	q.Topics = append(q.Topics, topic)
	ask := kmsg.NewPtrMetadataRequest()
	asked := kmsg.NewMetadataRequestTopic()
	asked.Topic = &name
	ask.Topics = append(ask.Topics, asked)
	t.Quietly(func() {
		t.Ask(7, q)
		t.Until(12, ask, func(a kmsg.Response) bool {
			m := a.(*kmsg.MetadataResponse) //nolint:forcetypeassert // the answer to Metadata
			if len(m.Topics) != 1 || m.Topics[0].ErrorCode != 0 || len(m.Topics[0].Partitions) == 0 {
				return false
			}
			for _, p := range m.Topics[0].Partitions {
				if p.ErrorCode != 0 {
					return false
				}
			}
			id = m.Topics[0].TopicID
			return true
		})
	})
	return id
}

// A Line is one connection. Requests that were sent are answered in order.
type Line struct {
	talk  *Talk
	name  string // with a space behind it; empty for the first
	conn  net.Conn
	asked []asked
	next  int32
	last  string // question
	// Client is the client id that requests carry.
	Client string
}

// asked is a request whose answer has not been read.
type asked struct {
	key, version int16
	correlation  int32
	empty        func() kmsg.Response
}

// Close ends the connection; the next request opens another.
func (l *Line) Close() {
	if l.conn != nil {
		_ = l.conn.Close() // it may be closed already
	}
	l.conn, l.asked = nil, nil
}

// Ask sends a request at a version and answers what was answered, or nil when the broker closed the connection.
func (l *Line) Ask(version int16, q kmsg.Request) kmsg.Response {
	l.Send(version, q)
	return l.Receive()
}

// AskAt asks the same at several versions.
func (l *Line) AskAt(q kmsg.Request, versions ...int16) {
	for _, v := range versions {
		l.Ask(v, q)
	}
}

// Send sends a request and does not wait for its answer.
func (l *Line) Send(version int16, q kmsg.Request) {
	q.SetVersion(version)
	question := l.talk.question(q)
	if question == l.last && len(question) > 40 {
		l.say("> %s v%d, the same", kmsg.NameForKey(q.Key()), version)
	} else {
		l.say("> %s v%d%s", kmsg.NameForKey(q.Key()), version, question)
	}
	l.last = question
	format := kmsg.NewRequestFormatter()
	if l.Client != "" {
		format = kmsg.NewRequestFormatter(kmsg.FormatterClientID(l.Client))
	}
	l.write(format.AppendRequest(nil, q, l.next), q.Key(), version, func() kmsg.Response {
		a := q.ResponseKind()
		a.SetVersion(version)
		return a
	})
}

// Raw sends a request whose header and body are given as bytes, behind size, key, version and correlation id.
func (l *Line) Raw(key, version int16, rest []byte) {
	l.say("> %s v%d raw %q", kmsg.NameForKey(key), version, rest)
	frame := kbin.AppendInt32(nil, int32(8+len(rest)))
	frame = kbin.AppendInt32(kbin.AppendInt16(kbin.AppendInt16(frame, key), version), l.next)
	l.write(append(frame, rest...), key, version, func() kmsg.Response {
		a := kmsg.ResponseForKey(key)
		if a != nil {
			a.SetVersion(version)
		}
		return a
	})
}

func (l *Line) say(format string, arguments ...any) {
	l.talk.say(l.name + fmt.Sprintf(format, arguments...))
}

// write sends a frame that has the next correlation id.
func (l *Line) write(frame []byte, key, version int16, empty func() kmsg.Response) {
	if l.conn == nil {
		c, err := net.DialTimeout("tcp", l.talk.address, patience)
		if err != nil {
			panic(end{"no connection: " + err.Error()})
		}
		l.conn = c
	}
	l.asked = append(l.asked, asked{key, version, l.next, empty})
	l.next++
	if err := l.conn.SetWriteDeadline(time.Now().Add(patience)); err != nil {
		panic(end{err.Error()})
	}
	_, _ = l.conn.Write(frame) // a connection that is closed shows when the answer is read
}

// Receive reads the next answer and writes it down; nil when the broker closed the connection.
func (l *Line) Receive() kmsg.Response {
	if len(l.asked) == 0 {
		panic(end{"the case reads an answer to nothing"})
	}
	first := l.asked[0]
	l.asked = l.asked[1:]
	body, err := l.read()
	if err != nil {
		if errors.Is(err, os.ErrDeadlineExceeded) {
			panic(end{"no answer"})
		}
		l.Close()
		l.say("< the connection is closed")
		return nil
	}
	a := first.empty()
	if a == nil || len(body) < 4 || int32(binary.BigEndian.Uint32(body)) != first.correlation {
		l.say("< %d bytes that answer something else", len(body))
		return nil
	}
	body = body[4:]
	const unsupported = 35 // ApiVersions answers in version 0 when it does not know the version
	if first.key == 18 && len(body) >= 2 && binary.BigEndian.Uint16(body) == unsupported {
		a.SetVersion(0)
	}
	if a.IsFlexible() && first.key != 18 {
		b := kbin.Reader{Src: body}
		kmsg.SkipTags(&b)
		body = b.Src
	}
	if err := a.ReadFrom(body); err != nil {
		l.say("< %d bytes that cannot be read: %v", len(body), err)
		return nil
	}
	if again := a.AppendTo(nil); len(again) < len(body) {
		l.say("< %d bytes, of which %d can be read", len(body), len(again))
	}
	l.say("<%s", l.talk.answer(a))
	return a
}

// Silent writes down whether the broker leaves the connection open and says nothing for a while.
func (l *Line) Silent(while time.Duration) {
	if err := l.conn.SetReadDeadline(time.Now().Add(while)); err != nil {
		panic(end{err.Error()})
	}
	var one [1]byte
	_, err := l.conn.Read(one[:])
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		l.say("< nothing")
	case err != nil:
		l.Close()
		l.say("< the connection is closed")
	default:
		panic(end{"something was answered"})
	}
}

// read reads a frame without its size.
func (l *Line) read() ([]byte, error) {
	if err := l.conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return nil, err
	}
	var size [4]byte
	if _, err := io.ReadFull(l.conn, size[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(size[:])
	if n > 64<<20 {
		return nil, fmt.Errorf("a frame of %d bytes", n)
	}
	body := make([]byte, n)
	_, err := io.ReadFull(l.conn, body)
	return body, err
}

// errorName is how an error code is written down.
func errorName(code int16) string {
	if code == 0 {
		return "NONE"
	}
	if e := kerr.TypedErrorForCode(code); e != nil && e.Code == code {
		return e.Message
	}
	return fmt.Sprint(code)
}
