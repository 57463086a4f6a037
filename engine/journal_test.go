package engine

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace/diskio"
)

// smallJournal is one that is used again and again.
const smallJournal = "log.journal.bytes=1048576"

// spread produces count records of size bytes over so many partitions, and answers the
// values that were acknowledged.
func spread(t *testing.T, b *Broker, topic string, partitions, count, size int) (acknowledged []string) {
	t.Helper()
	c := client(t, b, kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(0), kgo.MaxBufferedRecords(10*count))
	defer c.Close()
	for round := 0; round < count/partitions; round++ {
		var records []*kgo.Record
		for p := range partitions {
			value := fmt.Sprintf("%s %d %d %0*d", topic, round, p, size, 0)
			records = append(records, &kgo.Record{Topic: topic, Partition: int32(p), Value: []byte(value)})
			acknowledged = append(acknowledged, value)
		}
		if err := c.ProduceSync(limited(t), records...).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	return acknowledged
}

// fall stops the disk, ends what is left of the broker, and cuts the power.
func fall(t *testing.T, b *Broker, files *diskio.Memory, cut func()) {
	t.Helper()
	files.HaltAfter(0)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := b.Stop(ctx); err == nil {
		t.Fatal("the stop went well on a disk without power")
	}
	cut()
}

// What was acknowledged over many partitions comes back from the journal, crash after crash.
func TestJournalBringsBackManyPartitions(t *testing.T) {
	const partitions = 50
	files := diskio.NewMemory()
	var acknowledged []string
	for life := range uint64(4) {
		b, err := beginOn(files, "/data", smallJournal, "num.io.threads=2")
		if err != nil {
			t.Fatal(err)
		}
		if life == 0 {
			createTopic(t, b, partitions, "t")
		} else {
			if n := b.disks[0].journal.Stats().Replayed; n == 0 {
				t.Error("nothing was replayed")
			}
			compare(t, acknowledged, readAll(t, b, "t"))
		}
		topic := spread(t, b, "t", partitions, 40*partitions, 50+int(life))
		acknowledged = append(acknowledged, topic...)
		if s := b.disks[0].journal.Stats(); s.Rounds < 10 {
			t.Errorf("the journal was hardly used: %+v", s)
		}
		cut := files.Crash
		if life > 1 {
			cut = func() { files.Tear(life) }
		}
		fall(t, b, files, cut)
	}
	b, err := beginOn(files, "/data", smallJournal)
	if err != nil {
		t.Fatal(err)
	}
	defer stop(t, b)
	compare(t, acknowledged, readAll(t, b, "t"))
}

// A topic that is deleted and made again under its name has none of its old records, even
// if the power is cut in between.
func TestJournalKnowsATopicFromItsNamesake(t *testing.T) {
	files := diskio.NewMemory()
	b, err := beginOn(files, "/data", smallJournal)
	if err != nil {
		t.Fatal(err)
	}
	createTopic(t, b, 3, "t")
	spread(t, b, "t", 3, 300, 20)
	if s := b.disks[0].journal.Stats(); s.Owing == 0 {
		t.Fatalf("no file owes a sync: %+v", s)
	}
	deleteTopic(t, b, "t")
	createTopic(t, b, 3, "t")
	fresh := spread(t, b, "t", 3, 3, 7)
	fall(t, b, files, files.Crash)
	again, err := beginOn(files, "/data", smallJournal)
	if err != nil {
		t.Fatal(err)
	}
	defer stop(t, again)
	got := readAll(t, again, "t")
	slices.Sort(fresh)
	if !slices.Equal(got, fresh) {
		t.Fatalf("read %d records, want the %d of the new topic", len(got), len(fresh))
	}
}

// From the day that a topic is switched to commit all that it has is safe.
func TestJournalAfterASwitchToCommit(t *testing.T) {
	files := diskio.NewMemory()
	b, err := beginOn(files, "/data", smallJournal)
	if err != nil {
		t.Fatal(err)
	}
	createTopic(t, b, 3, "warm")
	createTopic(t, b, 3, "t")
	spread(t, b, "warm", 3, 300, 20)
	alter(t, b, "t", "flush.mode", "os")
	all := spread(t, b, "t", 3, 300, 20)
	alter(t, b, "t", "flush.mode", "commit")
	all = append(all, spread(t, b, "t", 3, 30, 21)...)
	fall(t, b, files, files.Crash)
	again, err := beginOn(files, "/data", smallJournal)
	if err != nil {
		t.Fatal(err)
	}
	defer stop(t, again)
	compare(t, all, readAll(t, again, "t"))
}

// Without a journal nothing is made, and what an older run had is replayed all the same.
func TestJournalTurnedOff(t *testing.T) {
	files := diskio.NewMemory()
	b, err := beginOn(files, "/data", smallJournal)
	if err != nil {
		t.Fatal(err)
	}
	createTopic(t, b, 3, "t")
	all := spread(t, b, "t", 3, 300, 20)
	fall(t, b, files, files.Crash)
	for life := range 2 {
		b, err = beginOn(files, "/data", "log.journal.bytes=0")
		if err != nil {
			t.Fatal(err)
		}
		compare(t, all, readAll(t, b, "t"))
		all = append(all, spread(t, b, "t", 3, 90, 20+life+1)...)
		if s := b.disks[0].journal.Stats(); s.Rounds > 0 {
			t.Fatalf("%+v", s)
		}
		fall(t, b, files, files.Crash)
	}
	_, err = files.Stat("/data/journal/0.journal")
	if err == nil {
		t.Fatal("the journal was turned off and is there")
	}
}

func deleteTopic(t *testing.T, b *Broker, name string) {
	t.Helper()
	if _, err := kadm.NewClient(client(t, b)).DeleteTopics(limited(t), name); err != nil {
		t.Fatal(err)
	}
}

func alter(t *testing.T, b *Broker, topic, key, value string) {
	t.Helper()
	answers, err := kadm.NewClient(client(t, b)).AlterTopicConfigs(limited(t), []kadm.AlterConfig{{Op: kadm.SetConfig, Name: key, Value: &value}}, topic)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range answers {
		if a.Err != nil {
			t.Fatal(a.Err)
		}
	}
}
