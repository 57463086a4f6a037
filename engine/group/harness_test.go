package group

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// journal is an Env that keeps what is committed and lets a test say when.
type journal struct {
	committed []Record
	waiting   []waiting
	appends   int
	within    map[*byte]int64 // records of transactions to their producers

	afterwards []func() // what clients do once their answers came
}

type waiting struct {
	number  int
	records []Record
	done    func(error)
}

func (j *journal) Append(records []Record, done func(error)) {
	j.appends++
	j.waiting = append(j.waiting, waiting{j.appends, records, done})
}

// AppendIn keeps records of transactions apart: a marker decides what becomes of them.
func (j *journal) AppendIn(t Transaction, records []Record, done func(error)) {
	for i := range records {
		if j.within == nil {
			j.within = map[*byte]int64{}
		}
		j.within[&records[i].Key[0]] = t.ProducerID
	}
	j.Append(records, done)
}

// end is the marker of a transaction in the log.
func (j *journal) end(c *Coordinator, producer int64, commit bool) {
	j.committed = append(j.committed, Record{Key: nil, Value: []byte{byte(producer), map[bool]byte{true: 1}[commit]}})
	c.EndTransaction(producer, commit)
}

// settle ends the oldest append.
func (j *journal) settle(err error) waiting {
	w := j.waiting[0]
	j.waiting = j.waiting[1:]
	if err == nil {
		j.committed = append(j.committed, w.records...)
	}
	w.done(err)
	return w
}

// replayed returns a coordinator that starts from what the journal has.
func (j *journal) replayed(t testing.TB, o Options, now time.Time) *Coordinator {
	return j.replayedIn(t, o, now, pictureOf())
}

func (j *journal) replayedIn(t testing.TB, o Options, now time.Time, p *picture) *Coordinator {
	c := New(o, j)
	c.SetCluster(p)
	for _, r := range j.committed {
		var err error
		if r.Key == nil {
			c.EndTransaction(int64(r.Value[0]), r.Value[1] == 1)
		} else if producer, ok := j.within[&r.Key[0]]; ok {
			err = c.ReplayIn(producer, r, now.UnixMilli())
		} else {
			err = c.Replay(r, now.UnixMilli())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	c.Loaded(now)
	return c
}

// describeRecord prints a record as a person would.
func describeRecord(r Record) string {
	switch kind := binary.BigEndian.Uint16(r.Key); kind {
	case keyOffset:
		var k kmsg.OffsetCommitKey
		must(k.ReadFrom(r.Key))
		if r.Value == nil {
			return fmt.Sprintf("offset %s %s-%d gone", k.Group, k.Topic, k.Partition)
		}
		var v kmsg.OffsetCommitValue
		must(v.ReadFrom(r.Value))
		return fmt.Sprintf("offset %s %s-%d v%d offset=%d epoch=%d metadata=%q", k.Group, k.Topic, k.Partition, v.Version, v.Offset, v.LeaderEpoch, v.Metadata)
	case keyMetadata:
		var k kmsg.GroupMetadataKey
		must(k.ReadFrom(r.Key))
		if r.Value == nil {
			return fmt.Sprintf("group %s gone", k.Group)
		}
		var v kmsg.GroupMetadataValue
		must(v.ReadFrom(r.Value))
		var b strings.Builder
		fmt.Fprintf(&b, "group %s v%d type=%q generation=%d protocol=%s leader=%s", k.Group, v.Version, v.ProtocolType, v.Generation, text(v.Protocol), text(v.Leader))
		for _, m := range v.Members {
			fmt.Fprintf(&b, " [%s instance=%s assignment=%q]", m.MemberID, text(m.InstanceID), m.Assignment)
		}
		return b.String()
	default:
		return describeConsumerRecord(r)
	}
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func text(s *string) string {
	if s == nil {
		return "-"
	}
	return *s
}

func codeName(c int16) string {
	if c == 0 {
		return "ok"
	}
	var known *kerr.Error
	if errors.As(kerr.ErrorForCode(c), &known) {
		return known.Message
	}
	return fmt.Sprint(c)
}

// subscription encodes what a consumer says of itself when it joins.
func subscription(topics ...string) []byte {
	m := kmsg.NewConsumerMemberMetadata()
	m.Version, m.Topics = 1, topics
	return m.AppendTo(nil)
}

func protocols(metadata []byte, names ...string) []kmsg.JoinGroupRequestProtocol {
	var all []kmsg.JoinGroupRequestProtocol
	for _, name := range names {
		all = append(all, kmsg.JoinGroupRequestProtocol{Name: name, Metadata: bytes.Clone(metadata)})
	}
	return all
}
