package transaction

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	"github.com/twmb/franz-go/pkg/kerr"
)

// talk is a machine and what was said to it.
type talk struct {
	t     *testing.T
	m     *Machine
	now   int64
	calls []*Call
	names []string
}

func newTalk(t *testing.T) *talk {
	return &talk{t: t, m: New(Options{Backoff: func(tries int) time.Duration { return time.Duration(tries) * 100 * time.Millisecond }})}
}

// TestConversations plays what is in testdata. Each line is what happens; the answer is what
// is asked next, which calls ended, and the state.
func TestConversations(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		c := newTalk(t)
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			if d.Cmd == "new" {
				c = newTalk(t)
				return ""
			}
			said := c.play(d)
			return said + c.look(d)
		})
	})
}

// play tells the machine one thing.
func (c *talk) play(d *datadriven.TestData) string {
	switch d.Cmd {
	case "init":
		return c.call("init", c.m.Init)
	case "begin":
		return failure(c.m.Begin())
	case "offsets":
		o := &Offsets{Group: word(d, "group"), Generation: -1}
		return c.call("offsets", func() (*Call, error) { return c.m.SendOffsets(o) })
	case "commit":
		return c.call("commit", c.m.Commit)
	case "abort":
		return c.call("abort", c.m.Abort)
	case "send":
		at := partition(word(d, "to"))
		if !c.m.Admit(at) {
			return "wait\n"
		}
		return "sent\n"
	case "lost":
		c.m.Lost(wrong(word(d, "err")), d.HasArg("numbered"))
	case "answer":
		c.m.Answered(c.now, answered(d))
	case "wait":
		var millis int64
		d.ScanArgs(c.t, "ms", &millis)
		c.now += millis * 1e6
	case "look":
	default:
		c.t.Fatalf("%s: there is no %q", d.Pos, d.Cmd)
	}
	return ""
}

func (c *talk) call(name string, make func() (*Call, error)) string {
	call, err := make()
	if err != nil {
		return failure(err)
	}
	c.calls, c.names = append(c.calls, call), append(c.names, name)
	return ""
}

// look is what the machine wants, and what came to an end.
func (c *talk) look(d *datadriven.TestData) string {
	var out strings.Builder
	if a, at := c.m.Next(c.now, d.HasArg("busy")); a != nil {
		fmt.Fprintf(&out, "ask %s\n", spelt(a))
	} else if at != Never {
		fmt.Fprintf(&out, "look again in %d ms\n", (at-c.now)/1e6)
	}
	for i := 0; i < len(c.calls); i++ {
		if over, err := c.calls[i].Outcome(); over {
			if !d.HasArg("unheard") {
				c.calls[i].Heard()
			}
			fmt.Fprintf(&out, "%s is over: %s\n", c.names[i], strings.TrimSuffix(failure(err), "\n"))
			c.calls, c.names = slices.Delete(c.calls, i, i+1), slices.Delete(c.names, i, i+1)
			i--
		}
	}
	id, epoch := c.m.Producer()
	fmt.Fprintf(&out, "%s %d/%d", c.m.State(), id, epoch)
	if c.m.Version2() {
		out.WriteString(" version 2")
	}
	return out.String() + "\n"
}

func failure(err error) string {
	if err == nil {
		return "ok\n"
	}
	return err.Error() + "\n"
}

func spelt(a *Ask) string {
	text := a.Kind.String()
	if a.To != "" {
		text += " of " + a.To
	}
	switch a.Kind {
	case InitProducer:
		text += fmt.Sprintf(": %d/%d", a.ProducerID, a.Epoch)
	case AddPartitions:
		text += ":"
		for _, p := range a.Partitions {
			text += fmt.Sprintf(" %s-%d", p.Topic, p.Index)
		}
	case FindGroup, AddOffsets, CommitOffsets:
		text += ": " + a.Group
	case End:
		text += fmt.Sprintf(": commit %v, %d/%d", a.Commit, a.ProducerID, a.Epoch)
	}
	return text
}

func word(d *datadriven.TestData, key string) string {
	for _, arg := range d.CmdArgs {
		if arg.Key == key && len(arg.Vals) == 1 {
			return arg.Vals[0]
		}
	}
	return ""
}

// wrong is an error by its name in Kafka; "network" is that there was no answer.
func wrong(name string) error {
	if name == "" {
		return nil
	}
	for code := int16(-1); code < 200; code++ {
		if err := kerr.ErrorForCode(code); err != nil {
			if answered, ok := err.(*kerr.Error); ok && answered.Message == name {
				return err
			}
		}
	}
	return errors.New(name)
}

func partition(text string) Partition {
	at := strings.LastIndexByte(text, '-')
	return Partition{text[:at], int32(number(text[at+1:]))}
}

func number(text string) int64 {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		panic(err)
	}
	return n
}

// answered is an Answer: err=NAME unanswered broker=… id=… epoch=… version=… refused=(t-0:NAME,…).
func answered(d *datadriven.TestData) *Answer {
	a := &Answer{Err: wrong(word(d, "err")), Broker: word(d, "broker"), ProducerID: -1, Epoch: -1, Version: -1, Unanswered: d.HasArg("unanswered")}
	if text := word(d, "id"); text != "" {
		a.ProducerID, a.Epoch = number(text), int16(number(word(d, "epoch")))
	}
	if text := word(d, "version"); text != "" {
		a.Version = int(number(text))
	}
	for _, arg := range d.CmdArgs {
		if arg.Key == "refused" {
			for _, v := range arg.Vals {
				at, name, _ := strings.Cut(v, "/")
				a.Refused = append(a.Refused, Refused{partition(at), wrong(name)})
			}
		}
	}
	return a
}
