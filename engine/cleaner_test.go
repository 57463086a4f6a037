package engine

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace/diskio"
	"github.com/millrace/millrace/engine/commitlog"
)

// compacted is a topic that is compacted as soon as it can be, and what it must hold.
type compacted struct {
	*testing.T
	broker *Broker
	name   string
	writer *kgo.Client
	time   time.Time
	latest map[string]string // empty: deleted
	offset map[string]int64
	end    int64
}

func newCompacted(t *testing.T, b *Broker, name string, settings map[string]string) *compacted {
	writer := client(t, b)
	all := map[string]*string{"cleanup.policy": new("compact"), "segment.ms": new("1000"), "min.cleanable.dirty.ratio": new("0.01"), "delete.retention.ms": new("100")}
	for name, value := range settings {
		all[name] = &value
	}
	if _, err := kadm.NewClient(writer).CreateTopic(limited(t), 1, 1, all, name); err != nil {
		t.Fatal(err)
	}
	return &compacted{t, b, name, writer, time.Now().Add(-time.Hour), map[string]string{}, map[string]int64{}, 0}
}

// put appends one record, in a segment of its own.
func (c *compacted) put(key, value string) {
	c.Helper()
	c.time = c.time.Add(2 * time.Second)
	r := &kgo.Record{Topic: c.name, Key: []byte(key), Timestamp: c.time}
	if value != "" {
		r.Value = []byte(value)
	}
	if err := c.writer.ProduceSync(limited(c), r).FirstErr(); err != nil {
		c.Fatal(err)
	}
	if r.Offset != c.end {
		c.Fatalf("the record got offset %d, want %d", r.Offset, c.end)
	}
	c.latest[key], c.offset[key] = value, r.Offset
	c.end++
}

// read consumes the topic from an offset to its end.
func (c *compacted) read(from int64) (records []*kgo.Record) {
	c.Helper()
	reader := client(c, c.broker, kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{c.name: {0: kgo.NewOffset().At(from)}}))
	defer reader.Close()
	ctx := limited(c)
	for {
		fetches := reader.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			c.Fatal(err)
		}
		for _, r := range fetches.Records() {
			if records = append(records, r); r.Offset == c.end-1 {
				return records
			}
		}
	}
}

// converges waits until the topic holds, but for what is in the active segment, each key once
// and no deletion marker.
func (c *compacted) converges(ctx context.Context) {
	c.Helper()
	for {
		found, markers, extra := map[string]string{}, 0, 0
		for _, r := range c.read(0) {
			key := string(r.Key)
			if _, twice := found[key]; twice && r.Offset < c.end-1 {
				extra++
			}
			if found[key] = string(r.Value); r.Value == nil && r.Offset < c.end-1 {
				markers++
			}
			if c.offset[key] < r.Offset || c.offset[key] == r.Offset && c.latest[key] != string(r.Value) {
				c.Fatalf("offset %d has %s=%s", r.Offset, key, r.Value)
			}
		}
		want := maps.Clone(c.latest)
		maps.DeleteFunc(want, func(_, value string) bool { return value == "" })
		if extra == 0 && markers == 0 && maps.Equal(found, want) {
			return
		}
		if ctx.Err() != nil {
			c.Fatalf("the topic holds %v, want %v; %d too many, %d markers", found, want, extra, markers)
		}
		c.put("dirt", fmt.Sprint(c.end)) // markers go when their log is cleaned again
	}
}

// A compacted topic comes to hold the latest values, deletion markers vanish, records keep
// their offsets, consumers in the middle of it miss nothing, and a restart changes nothing.
func TestACompactedTopicConverges(t *testing.T) {
	folder := t.TempDir()
	b, err := begin(folder, "log.cleaner.backoff.ms=10")
	if err != nil {
		t.Fatal(err)
	}
	c := newCompacted(t, b, "table", nil)
	middle := client(t, b, kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{"table": {0: kgo.NewOffset().At(0)}}))
	for round := range 12 {
		for key := range 8 {
			c.put(fmt.Sprintf("key-%d", key), fmt.Sprintf("value-%d-%d", key, round))
		}
	}
	c.put("key-3", "")
	c.put("key-5", "")
	c.put("dirt", "first")
	c.converges(limited(t))
	last := int64(-1)
	for seen := map[string]string{}; last < c.end-1; {
		fetches := middle.PollFetches(limited(t))
		if err := fetches.Err(); err != nil {
			t.Fatal(err)
		}
		for _, r := range fetches.Records() {
			if r.Offset <= last {
				t.Fatalf("offset %d after %d", r.Offset, last)
			}
			last, seen[string(r.Key)] = r.Offset, string(r.Value)
		}
		if last == c.end-1 && seen["key-7"] != c.latest["key-7"] {
			t.Fatalf("a consumer in the middle has %v", seen)
		}
	}
	if r := c.read(5); r[0].Offset <= 5 || r[len(r)-1].Offset != c.end-1 {
		t.Fatalf("from offset 5 on the first record is %d", r[0].Offset)
	}
	if done := b.cleaning(); done.BytesRead == 0 || done.BytesWritten == 0 || done.Uncleanable != 0 {
		t.Fatalf("%+v", done)
	}
	stop(t, b)
	c.broker = start(t, folder, "log.cleaner.enable=false")
	c.writer = client(t, c.broker)
	before := c.end
	c.converges(limited(t))
	if c.end != before {
		t.Fatal("the restart has brought back what was compacted")
	}
}

// The cleaner of a broker reads past the page cache what nobody has read since the start.
func TestACleanerReadsPastThePageCache(t *testing.T) {
	folder := t.TempDir()
	b, err := begin(folder, "log.cleaner.enable=false")
	if err != nil {
		t.Fatal(err)
	}
	c := newCompacted(t, b, "table", nil)
	for range 3 {
		c.put("key", strings.Repeat("x", 5000))
	}
	stop(t, b)
	r, err := diskio.OpenCold(diskio.OS, filepath.Join(folder, "table-0", "00000000000000000000.log"))
	if errors.Is(err, errors.ErrUnsupported) {
		t.Skip("the file system of temporary files cannot be read past the page cache")
	}
	if err != nil {
		t.Fatal(err)
	}
	r.Close() //nolint:errcheck // it was only tried
	b = start(t, folder, "log.cleaner.enable=false")
	table := b.registry.Named("table").Replica(0)
	var work *commitlog.Cleaning
	select {
	case <-eventually(func() bool { // the log is opened first
		table.Shard().Wait(func() { work = table.Cleaning(b.disks[0].cleaner.options(table), true) })
		return work != nil
	}):
	case <-time.After(patience):
		t.Fatal("the log is not opened")
	}
	dirt, err := work.Dirt(b.now())
	if err != nil {
		t.Fatal(err)
	}
	stats, err := work.Run(dirt, b.now())
	if err != nil || stats.BytesRead == 0 || stats.BytesCold != stats.BytesRead {
		t.Errorf("of %d bytes %d were read past the page cache: %v", stats.BytesRead, stats.BytesCold, err)
	}
}

// How long the cleaner sleeps can be changed while it does.
func TestACleanerIsWokenByItsSettings(t *testing.T) {
	b := start(t, t.TempDir(), "log.cleaner.backoff.ms=3600000")
	c := newCompacted(t, b, "table", nil)
	for range 2 {
		for key := range 8 {
			c.put(fmt.Sprintf("key-%d", key), "value")
		}
	}
	alter := []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "log.cleaner.backoff.ms", Value: kadm.StringPtr("10")}}
	answers, err := kadm.NewClient(c.writer).AlterBrokerConfigs(limited(t), alter)
	if err != nil || len(answers) != 1 || answers[0].Err != nil {
		t.Fatal(answers, err)
	}
	c.converges(limited(t))
}

// The policy can change while the topic lives: a deleted topic becomes compacted, and what has
// no key goes then.
func TestCompactionBeginsWithThePolicy(t *testing.T) {
	b := start(t, t.TempDir(), "log.cleaner.backoff.ms=10")
	c := newCompacted(t, b, "late", map[string]string{"cleanup.policy": "delete"})
	for round := range 5 {
		c.put("a", fmt.Sprint(round))
	}
	if n := len(c.read(0)); n != 5 {
		t.Fatalf("%d records before it is compacted", n)
	}
	set := []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "cleanup.policy", Value: new("compact,delete")}, {Op: kadm.SetConfig, Name: "retention.ms", Value: new("-1")}}
	answer, err := kadm.NewClient(c.writer).AlterTopicConfigs(limited(t), set, "late")
	if err != nil || answer[0].Err != nil {
		t.Fatal(err, answer)
	}
	c.put("dirt", "x")
	c.converges(limited(t))
}

// The log of the group coordinator is compacted: it stays small however often offsets are
// committed, and the last ones are there after a restart.
func TestTheOffsetsTopicStaysSmall(t *testing.T) {
	folder := t.TempDir()
	settings := []string{"log.cleaner.backoff.ms=10", "offsets.topic.num.partitions=1", "offsets.topic.segment.bytes=1048576"}
	b, err := begin(folder, settings...)
	if err != nil {
		t.Fatal(err)
	}
	ctx := limited(t)
	admin := kadm.NewClient(client(t, b))
	if _, err := admin.CreateTopic(ctx, 1, 1, nil, "orders"); err != nil {
		t.Fatal(err)
	}
	last, written := int64(0), 0
	commit := func() {
		last++
		var offsets kadm.Offsets
		offsets.Add(kadm.Offset{Topic: "orders", Partition: 0, At: last, LeaderEpoch: -1, Metadata: strings.Repeat("m", 4000)})
		written += 4000
		if err := admin.CommitAllOffsets(ctx, "readers", offsets); err != nil {
			t.Fatal(err)
		}
	}
	for range 1000 {
		commit()
	}
	log := b.registry.Named("__consumer_offsets").Replica(0)
	for log.Size() > 2<<20 {
		commit() // until the cleaner was there
	}
	if b.cleaning().BytesRead == 0 || written < 4_000_000 {
		t.Fatalf("%d bytes were written, %+v", written, b.cleaning())
	}
	stop(t, b)
	again := start(t, folder, settings...)
	offsets, err := kadm.NewClient(client(t, again)).FetchOffsets(ctx, "readers")
	if found, _ := offsets.Lookup("orders", 0); err != nil || found.At != last {
		t.Fatalf("offset %d, want %d: %v", found.At, last, err)
	}
}

// However slow it has to be, a cleaner does not hold up a stop.
func TestAStopEndsACleaning(t *testing.T) {
	b, err := begin(t.TempDir(), "log.cleaner.backoff.ms=1", "log.cleaner.io.max.bytes.per.second=1")
	if err != nil {
		t.Fatal(err)
	}
	c := newCompacted(t, b, "slow", nil)
	for n := range 6 {
		c.put("key", fmt.Sprint(n))
	}
	for b.disks[0].cleaner.pauses.Load() == 0 {
		c.put("key", "again")
	}
	stop(t, b)
}

// A damaged log is not compacted, and counts as one that cannot be, until its topic is deleted.
func TestADamagedLogIsForgottenWithItsTopic(t *testing.T) {
	folder := t.TempDir()
	b := start(t, folder, "log.cleaner.backoff.ms=10")
	c := newCompacted(t, b, "broken", map[string]string{"min.cleanable.dirty.ratio": "1"})
	for n := range 4 {
		c.put("key", fmt.Sprint(n))
	}
	file, err := os.OpenFile(filepath.Join(folder, "broken-0", firstSegment+".log"), os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = file.WriteAt([]byte("damage"), 64)
	if err := errors.Join(err, file.Close()); err != nil { // in the record of its only batch
		t.Fatal(err)
	}
	admin := kadm.NewClient(c.writer)
	set := []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "min.cleanable.dirty.ratio", Value: new("0.01")}}
	if answer, err := admin.AlterTopicConfigs(limited(t), set, "broken"); err != nil || answer[0].Err != nil {
		t.Fatal(err, answer)
	}
	uncleanable(t, b, 1)
	if answer, err := admin.DeleteTopics(limited(t), "broken"); err != nil || answer.Error() != nil {
		t.Fatal(err, answer)
	}
	uncleanable(t, b, 0)
}

// uncleanable waits until so many logs cannot be compacted.
func uncleanable(t *testing.T, b *Broker, want int64) {
	t.Helper()
	for ctx := limited(t); b.cleaning().Uncleanable != want; b.Recheck() {
		if ctx.Err() != nil {
			t.Fatalf("%d logs cannot be compacted, want %d", b.cleaning().Uncleanable, want)
		}
	}
}
