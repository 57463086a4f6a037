package traffic

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/millrace/millrace/engine/compat/ledger"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Offsets are where reading goes on, by topic and partition.
type Offsets map[string]map[int32]int64

// ReadBack reads every partition of the topics in from to its end, beginning at the offsets given or, where that was
// removed, at the log's start. It enters what it finds in the book and moves the offsets. Within a partition no offset may
// be left out.
func ReadBack(ctx context.Context, address string, from Offsets, book *ledger.Ledger) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	k, err := kgo.NewClient(kgo.SeedBrokers(address)) // a new one: what a client heard before the crash it may keep
	if err != nil {
		return err
	}
	b := &backReader{admin: kadm.NewClient(k), from: from, book: book}
	defer b.admin.Close()
	assigned, err := b.assign(ctx)
	if err != nil || b.left == 0 {
		return err
	}
	k, err = kgo.NewClient(kgo.SeedBrokers(address), kgo.ConsumePartitions(assigned),
		kgo.FetchMaxWait(100*time.Millisecond)) // a partition that retention has moved under the reader joins the next fetch
	if err != nil {
		return err
	}
	defer k.Close()
	for b.left > 0 {
		f := k.PollFetches(ctx)
		if err := f.Err(); err != nil {
			return fmt.Errorf("read back, %d partitions left: %w", b.left, err)
		}
		for _, r := range f.Records() {
			if err := b.take(ctx, r); err != nil {
				return err
			}
		}
	}
	return nil
}

type backReader struct {
	admin *kadm.Client
	from  Offsets
	ends  kadm.ListedOffsets
	book  *ledger.Ledger
	left  int // partitions not read to their end

	starts kadm.ListedOffsets // as they were last asked for
}

func (b *backReader) assign(ctx context.Context) (map[string]map[int32]kgo.Offset, error) {
	var topics []string
	for topic := range b.from {
		topics = append(topics, topic)
	}
	var err error
	if b.ends, err = b.admin.ListEndOffsets(ctx, topics...); err != nil {
		return nil, fmt.Errorf("list offsets: %w", err)
	}
	if err := b.begins(ctx, topics...); err != nil {
		return nil, err
	}
	assigned := map[string]map[int32]kgo.Offset{}
	for topic, partitions := range b.ends {
		assigned[topic] = map[int32]kgo.Offset{}
		for p, end := range partitions {
			start, _ := b.starts.Lookup(topic, p)
			at := max(b.from[topic][p], start.Offset)
			b.from[topic][p] = at
			switch {
			case end.Err != nil:
				return nil, fmt.Errorf("list offsets of %s-%d: %w", topic, p, end.Err)
			case end.Offset < at:
				return nil, fmt.Errorf("%s-%d ends at %d, and had %d records before", topic, p, end.Offset, at)
			case end.Offset > at:
				assigned[topic][p] = kgo.NewOffset().At(at)
				b.left++
			}
		}
	}
	return assigned, nil
}

// begins asks where the topics' logs begin, and tells the book.
func (b *backReader) begins(ctx context.Context, topics ...string) (err error) {
	if b.starts, err = b.admin.ListStartOffsets(ctx, topics...); err != nil {
		return fmt.Errorf("list start offsets: %w", err)
	}
	for topic, partitions := range b.starts {
		for p, start := range partitions {
			if start.Err != nil {
				return fmt.Errorf("list the start of %s-%d: %w", topic, p, start.Err)
			}
			b.book.Start(topic, p, start.Offset)
		}
	}
	return nil
}

func (b *backReader) take(ctx context.Context, r *kgo.Record) error {
	due := b.from[r.Topic]
	if r.Offset > due[r.Partition] { // retention may have come in between
		if err := b.begins(ctx, r.Topic); err != nil {
			return err
		}
		if start, _ := b.starts.Lookup(r.Topic, r.Partition); r.Offset <= start.Offset {
			due[r.Partition] = r.Offset
		}
	}
	end := b.ends[r.Topic][r.Partition].Offset
	if r.Offset < due[r.Partition] && r.Offset >= end {
		return nil // appended since, and not looked at
	}
	if r.Offset != due[r.Partition] {
		return fmt.Errorf("%s-%d: offset %d came where %d is due", r.Topic, r.Partition, r.Offset, due[r.Partition])
	}
	due[r.Partition]++
	if due[r.Partition] == end {
		b.left--
	}
	return enter(b.book, r)
}

// enter reads whose record it is: `producer number filling`.
func enter(book *ledger.Ledger, r *kgo.Record) error {
	fields := strings.SplitN(string(r.Value), " ", 3)
	if len(fields) != 3 {
		return fmt.Errorf("%s-%d offset %d holds what nobody sent: %.100q", r.Topic, r.Partition, r.Offset, r.Value)
	}
	number, err := strconv.ParseInt(fields[1], 10, 64)
	if err != nil {
		return fmt.Errorf("%s-%d offset %d holds what nobody sent: %w", r.Topic, r.Partition, r.Offset, err)
	}
	book.Read(ledger.Stream{Producer: fields[0], Topic: r.Topic, Partition: r.Partition}, number, r.Offset)
	return nil
}
