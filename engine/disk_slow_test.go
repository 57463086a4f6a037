package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/diskio"
	"github.com/millrace/millrace/engine/api"
)

// twoDisks is a broker on a disk that works and one whose syncs the test delays.
type twoDisks struct {
	*Broker
	files         *diskio.Memory
	working, slow []int32 // partitions of the topic "both"
	stopped       bool
}

func onTwoDisks(t *testing.T) *twoDisks {
	files := diskio.NewMemory()
	b, err := beginWith(Options{FS: files, later: impatiently}, "/good,/bad", "num.io.threads=3")
	if err != nil {
		t.Fatal(err)
	}
	d := &twoDisks{Broker: b, files: files}
	t.Cleanup(func() {
		files.Gate(nil)
		if !d.stopped {
			stop(t, b)
		}
	})
	createTopic(t, b, 16, "both")
	d.working, d.slow = onDisk(b, "both", "/good"), onDisk(b, "both", "/bad")
	if len(d.working) == 0 || len(d.slow) == 0 {
		t.Fatalf("partitions %v lie on one disk, %v on the other", d.working, d.slow)
	}
	c := client(t, b, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	for p := range int32(16) {
		send(t, c, p, "before")
	}
	return d
}

// impatiently has nobody wait for disks for longer than tests want to last.
func impatiently(delay time.Duration, f func()) (stop func()) {
	timer := time.AfterFunc(min(delay, time.Second), f)
	return func() { timer.Stop() }
}

// delay has every sync on the bad disk wait for f.
func (d *twoDisks) delay(f func()) {
	d.files.Gate(func(op diskio.Op) error {
		if (op.Kind == diskio.OpSync || op.Kind == diskio.OpSyncDir) && strings.HasPrefix(op.Name, "/bad") {
			f()
		}
		return nil
	})
}

// TestNothingNewIsPlacedOnAStoppedDisk: topics and partitions that are made while one of two disks is stopped
// can be written to.
func TestNothingNewIsPlacedOnAStoppedDisk(t *testing.T) {
	d := onTwoDisks(t)
	for _, one := range d.disks {
		if one.Path == "/bad" {
			one.Fail(errors.New("the disk is gone"))
		}
	}
	createTopic(t, d.Broker, 4, "new")
	if _, err := kadm.NewClient(client(t, d.Broker)).CreatePartitions(limited(t), 4, "new"); err != nil {
		t.Fatal(err)
	}
	if got := onDisk(d.Broker, "new", "/bad"); len(got) != 0 {
		t.Errorf("partitions %v were placed on the stopped disk", got)
	}
	if got := onDisk(d.Broker, "new", "/good"); len(got) != 8 {
		t.Errorf("%d partitions lie on the disk that works, want 8", len(got))
	}
	d.stopped = true
	if err := d.Stop(limited(t)); err == nil {
		t.Error("a stop with a stopped disk told of nothing")
	}
}

// TestASlowDiskIsSlowForItselfAlone: every sync of one disk takes until the other has taken five
// records more. What it acknowledges was synced, and the other does not wait for it, or it would be
// for ever.
func TestASlowDiskIsSlowForItselfAlone(t *testing.T) {
	const each = 5
	d := onTwoDisks(t)
	var syncs, taken atomic.Int64
	over := make(chan struct{})
	defer close(over) // before the broker is stopped
	d.delay(func() {
		enough := taken.Load() + each
		select {
		case <-eventually(func() bool { return taken.Load() >= enough }):
			syncs.Add(1)
		case <-over:
			taken.Store(1 << 40) // and nobody looks any more
		}
	})
	slow := client(t, d.Broker, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	fast := client(t, d.Broker, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	const rounds = 3
	answered := make(chan error, 1)
	var before atomic.Int64
	go func() {
		for i := range rounds {
			before.Store(syncs.Load())
			err := slow.ProduceSync(context.Background(), &kgo.Record{Topic: "both", Partition: d.slow[0], Value: fmt.Append(nil, "slow", i)}).FirstErr()
			if err == nil && syncs.Load() == before.Load() {
				err = errors.New("acknowledged, and nothing was synced since it was sent")
			}
			if err != nil {
				answered <- err
				return
			}
		}
		answered <- nil
	}()
	meanwhile := 0
	for done := false; !done; meanwhile++ {
		send(t, fast, d.working[meanwhile%len(d.working)], "fast")
		taken.Add(1)
		select {
		case err := <-answered:
			if err != nil {
				t.Fatal(err)
			}
			done = true
		default:
		}
	}
	if meanwhile < rounds*each {
		t.Errorf("%d records were taken on the slow disk while %d were on the other: it was not slow", rounds, meanwhile)
	}
	// What was acknowledged survives the power.
	files := d.files.Clone()
	files.Gate(nil)
	files.Crash()
	after, err := beginOn(files, "/good,/bad")
	if err != nil {
		t.Fatal(err)
	}
	defer stop(t, after)
	all := readAll(t, after, "both")
	for i := range rounds {
		if !slices.Contains(all, fmt.Sprint("slow", i)) {
			t.Errorf("acknowledged record %d is lost", i)
		}
	}
}

// groupOn finds a group whose coordinator keeps its log in a folder.
func groupOn(t *testing.T, b *Broker, folder string) string {
	t.Helper()
	partitions := onDisk(b, api.OffsetsTopic, folder)
	for i := range 10_000 {
		name, hash := fmt.Sprint("group", i), int32(0)
		for _, c := range name {
			hash = 31*hash + c
		}
		if slices.Contains(partitions, (hash&0x7fffffff)%int32(b.registry.Named(api.OffsetsTopic).Partitions())) {
			return name
		}
	}
	t.Fatalf("no group lies in %s", folder)
	return ""
}

// TestAHungSyncStopsNoOther: a sync that never returns holds up what waits for it. Producers,
// consumers, metadata, offsets by time and groups on the other disk go on.
func TestAHungSyncStopsNoOther(t *testing.T) {
	d := onTwoDisks(t)
	p := dial(t, d.Addresses()[0])
	p.coordinated()
	group := groupOn(t, d.Broker, "/good")
	member, generation := p.joined(5, group)
	held, mend := make(chan struct{}, 100), make(chan struct{})
	d.delay(func() {
		select {
		case held <- struct{}{}:
		default:
		}
		<-mend
	})
	waiting := make(chan error, len(d.slow))
	hung := client(t, d.Broker, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	for _, partition := range d.slow {
		hung.Produce(context.Background(), &kgo.Record{Topic: "both", Partition: partition, Value: []byte("waits")}, func(_ *kgo.Record, err error) { waiting <- err })
	}
	<-held
	s := subject{name: "both"}
	fast := client(t, d.Broker, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	for range 3 {
		for _, partition := range d.working {
			send(t, fast, partition, "meanwhile")
		}
		beat := kmsg.NewPtrHeartbeatRequest()
		beat.Group, beat.MemberID, beat.Generation = group, member, generation
		want(t, "heartbeat", ask[*kmsg.HeartbeatResponse](p, 4, beat).ErrorCode, nil)
		commit := commitRequest(7, group, s, 1)
		commit.MemberID, commit.Generation = member, generation
		want(t, "commit", ask[*kmsg.OffsetCommitResponse](p, 7, commit).Topics[0].Partitions[0].ErrorCode, nil)
	}
	want(t, "fetch", p.fetch(11, from(s, d.working[0], 0)).ErrorCode, nil)
	want(t, "fetch from the hung disk", p.fetch(11, from(s, d.slow[0], 0)).ErrorCode, nil)
	want(t, "look for a time", p.offsetAt(7, s, d.working[0], 1, anyEpoch).ErrorCode, nil)
	if topic := p.metadata("both"); len(topic.Partitions) != 16 {
		t.Errorf("metadata shows %d partitions", len(topic.Partitions))
	}
	createTopic(t, d.Broker, 1, "new") // whose record goes to the disk that works
	select {
	case err := <-waiting:
		t.Fatalf("a record on the hung disk was answered: %v", err)
	default:
	}
	close(mend)
	for range d.slow {
		if err := <-waiting; err != nil {
			t.Errorf("a record that waited: %v", err)
		}
	}
}

// TestPipelinedCommitsShareSyncs: who commits again and again without waiting has all commits in the log while the first is
// being synced, and one sync more answers them. What is asked behind them finds them.
func TestPipelinedCommitsShareSyncs(t *testing.T) {
	const commits = 50
	for name, prepared := range map[string]func(p *peer, group string, s subject) (version int16, q kmsg.Request, offset int64){
		"OffsetCommit": func(_ *peer, group string, s subject) (int16, kmsg.Request, int64) {
			return 7, commitRequest(7, group, s, 1), 1
		},
		"TxnOffsetCommit": func(p *peer, group string, s subject) (int16, kmsg.Request, int64) {
			x := p.transactor(unused(p.t))
			want(p.t, "add offsets", x.addOffsets(3, group), nil)
			want(p.t, "the first commit of the transaction", x.offsets(3, group, s, 1), nil)
			return 3, x.offsetsRequest(3, group, s, 1), 0 // as long as it has not ended
		},
	} {
		t.Run(name, func(t *testing.T) {
			files := diskio.NewMemory()
			b, err := beginOn(files, "/data", "log.journal.bytes=0", "offsets.topic.num.partitions=1")
			if err != nil {
				t.Fatal(err)
			}
			defer stop(t, b)
			p := dial(t, b.Addresses()[0])
			p.coordinated()
			s, group := p.topic(1), unused(t)
			want(t, "the first commit", ask[*kmsg.OffsetCommitResponse](p, 7, commitRequest(7, group, s, 0)).Topics[0].Partitions[0].ErrorCode, nil)
			version, q, offset := prepared(p, group, s)
			log, err := b.registry.Named(api.OffsetsTopic).Replica(0).Log()
			if err != nil {
				t.Fatal(err)
			}
			syncs, goOn := holdSyncs(files, api.OffsetsTopic)
			defer files.Gate(nil)
			all, before := log.End()+commits, p.last
			var sent []byte
			for range commits {
				sent = append(sent, p.request(version, q)...)
			}
			look := offsetsRequest(5, group, s)
			p.write(append(sent, p.request(5, look)...))
			select {
			case <-eventually(func() bool { return log.End() == all }):
			case <-time.After(patience):
				t.Errorf("%d of %d commits are not in the log while the first is being synced", all-log.End(), commits)
			}
			close(goOn)
			for i := range int32(commits) {
				expect[kmsg.Response](p, version, q, before+1+i)
			}
			if n := syncs.Load(); n > 2 {
				t.Errorf("%d syncs for %d commits", n, commits)
			}
			if got := expect[*kmsg.OffsetFetchResponse](p, 5, look, p.last).Topics[0].Partitions[0].Offset; got != offset {
				t.Errorf("offset %d is found behind the commits, want %d", got, offset)
			}
		})
	}
}

// holdSyncs has syncs of what lies under a name wait, and counts them.
func holdSyncs(files *diskio.Memory, name string) (syncs *atomic.Int64, goOn chan struct{}) {
	syncs, goOn = new(atomic.Int64), make(chan struct{})
	files.Gate(func(op diskio.Op) error {
		if op.Kind == diskio.OpSync && strings.Contains(op.Name, name) {
			syncs.Add(1)
			<-goOn
		}
		return nil
	})
	return syncs, goOn
}

// TestAStopBesideAHungDiskEnds: a broker that is told to stop says after its time that a
// disk does not answer. What it acknowledged is there at the next start.
func TestAStopBesideAHungDiskEnds(t *testing.T) {
	for name, kinds := range map[string][]diskio.OpKind{
		"sync": {diskio.OpSync, diskio.OpSyncDir}, "write": {diskio.OpWrite}, "everything": {diskio.OpSync, diskio.OpSyncDir, diskio.OpWrite, diskio.OpRead, diskio.OpCreate, diskio.OpRename, diskio.OpRemove},
	} {
		for _, busy := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, busy %v", name, busy), func(t *testing.T) {
				d := onTwoDisks(t)
				d.stopped = true
				held, mend := make(chan struct{}, 1000), make(chan struct{})
				d.files.Gate(func(op diskio.Op) error {
					if slices.Contains(kinds, op.Kind) && strings.HasPrefix(op.Name, "/bad") {
						held <- struct{}{}
						<-mend
					}
					return nil
				})
				if busy {
					hung := client(t, d.Broker, kgo.RecordPartitioner(kgo.ManualPartitioner()))
					hung.Produce(context.Background(), &kgo.Record{Topic: "both", Partition: d.slow[0], Value: []byte("waits")}, nil)
					<-held
				}
				ctx, cancel := context.WithCancel(context.Background())
				defer cancel()
				stopped := make(chan error, 1)
				go func() { stopped <- d.Stop(ctx) }()
				comes(t, d.ended)
				if !busy {
					comes(t, held) // a log that is being closed is at the disk
				}
				cancel() // now its time is over
				select {
				case err := <-stopped:
					waited := " logs are closed)"
					if busy {
						waited = "(what was appended is being written and synced)"
					}
					if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), waited) {
						t.Errorf("the stop ended with %v, want %s", err, waited)
					}
				case <-time.After(patience):
					t.Error("the stop hangs with its disk")
					close(mend)
					t.Log("once the disk went on:", <-stopped)
					return
				}
				close(mend)
			})
		}
	}
}

// comes waits for something that a stop comes to.
func comes(t *testing.T, c <-chan struct{}) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(patience):
		t.Error("the stop does not come that far")
	}
}

// TestSpaceComesAndGoes: what is acknowledged while a disk is full again and again is
// there, once and in order; what is refused is refused with an error to try again.
func TestSpaceComesAndGoes(t *testing.T) {
	files := diskio.NewMemory()
	b, err := beginOn(files, "/data", "log.segment.bytes=1048576", "log.journal.bytes=1048576")
	if err != nil {
		t.Fatal(err)
	}
	createTopic(t, b, 1, "t")
	p := dial(t, b.Addresses()[0])
	s := subject{name: "t"}
	var acknowledged []string
	refused := 0
	for i := range 400 {
		switch { // sudden, slow, and back again
		case i%100 == 20:
			files.SetSpace(0)
		case i%100 == 40:
			files.SetSpace(20_000)
		case i%100 == 60:
			files.SetSpace(int64(i))
		case i%100 == 70:
			files.SetSpace(-1)
		}
		value := fmt.Sprintf("%04d%s", i, strings.Repeat("x", 20*(i%1000)))
		switch r := p.produce(7, s, 0, records(value)); r.ErrorCode {
		case 0:
			if r.BaseOffset != int64(len(acknowledged)) {
				t.Fatalf("record %d is at offset %d, want %d", i, r.BaseOffset, len(acknowledged))
			}
			acknowledged = append(acknowledged, value)
		case kerr.KafkaStorageError.Code:
			refused++
		default:
			t.Fatalf("record %d: %s", i, errorName(r.ErrorCode))
		}
		if i%100 == 30 { // metadata that has no space is refused, and the broker lives
			q := kmsg.NewPtrCreateTopicsRequest()
			q.TimeoutMillis = 1000
			q.Topics = append(q.Topics, wanted(fmt.Sprint("more", i), 1, 1))
			_ = ask[*kmsg.CreateTopicsResponse](p, 5, q)
		}
	}
	if refused == 0 || len(acknowledged) < 200 {
		t.Errorf("%d records were acknowledged, %d refused", len(acknowledged), refused)
	}
	select {
	case err := <-b.Failed():
		t.Errorf("the broker gave up: %v", err)
	default:
	}
	check := func(b *Broker) {
		t.Helper()
		if got := readAll(t, b, "t"); !slices.Equal(got, acknowledged) {
			t.Errorf("%d records can be read, %d were acknowledged", len(got), len(acknowledged))
		}
	}
	check(b)
	crashed := files.Clone()
	stop(t, b)
	crashed.Crash()
	for name, disk := range map[string]*diskio.Memory{"a stop": files, "a power cut": crashed} {
		again, err := beginOn(disk, "/data")
		if err != nil {
			t.Fatalf("after %s: %v", name, err)
		}
		check(again)
		stop(t, again)
	}
}

// hangWrites has the bad disk's writes wait until the test ends, and one that waits already.
func (d *twoDisks) hangWrites(t *testing.T) {
	t.Helper()
	held, mend := make(chan struct{}, 1), make(chan struct{})
	d.files.Gate(func(op diskio.Op) error {
		if op.Kind == diskio.OpWrite && strings.HasPrefix(op.Name, "/bad") {
			select {
			case held <- struct{}{}:
			default:
			}
			<-mend
		}
		return nil
	})
	t.Cleanup(func() { close(mend) })
	hung := client(t, d.Broker, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	hung.Produce(context.Background(), &kgo.Record{Topic: "both", Partition: d.slow[0], Value: []byte("waits")}, nil)
	<-held
}

// partitionsOf is a partition on the disk that works and one on the bad one.
func (d *twoDisks) partitionsOf(topic string) (good, bad int32) {
	return onDisk(d.Broker, topic, "/good")[0], onDisk(d.Broker, topic, "/bad")[0]
}

// TestWhoAsksBothDisksIsAnswered: one disk hangs, and with it the only shard that it has. Whoever asks about partitions or
// groups of both disks is told of the other, and an error for the rest.
func TestWhoAsksBothDisksIsAnswered(t *testing.T) {
	d := onTwoDisks(t)
	createTopic(t, d.Broker, 16, "unused")
	p := dial(t, d.Addresses()[0])
	p.coordinated()
	s := subject{name: "both"}
	groups := []string{groupOn(t, d.Broker, "/good"), groupOn(t, d.Broker, "/bad")}
	for _, group := range groups {
		want(t, "commit", ask[*kmsg.OffsetCommitResponse](p, 7, commitRequest(7, group, s, 1)).Topics[0].Partitions[0].ErrorCode, nil)
	}
	good, bad := d.partitionsOf("both")
	d.hangWrites(t)

	var frames []byte
	type question struct {
		version int16
		q       kmsg.Request
		check   func(a kmsg.Response)
	}
	codes := func(what string, good, bad int16, expected *kerr.Error) {
		want(t, what+" of the disk that works", good, nil)
		want(t, what+" of the disk that hangs", bad, expected)
	}
	list := kmsg.NewPtrListGroupsRequest()
	describe := kmsg.NewPtrDescribeGroupsRequest()
	describe.Groups = groups
	offsets := offsetsRequest(8, groups[0], s)
	offsets.Groups = append(offsets.Groups, offsetsRequest(8, groups[1], s).Groups...)
	producers := kmsg.NewPtrDescribeProducersRequest()
	producers.Topics = []kmsg.DescribeProducersRequestTopic{{Topic: "both", Partitions: []int32{good, bad}}}
	dirs := kmsg.NewPtrDescribeLogDirsRequest()
	first, hung := d.partitionsOf("unused")
	read := from(subject{name: "unused"}, first, 0)
	read.Topics[0].Partitions = append(read.Topics[0].Partitions, fetchTopic(s, hung, 0).Partitions...)
	read.Topics = append(read.Topics, fetchTopic(s, good, 0))
	remove := kmsg.NewPtrDeleteRecordsRequest()
	remove.Topics = []kmsg.DeleteRecordsRequestTopic{{Topic: "both", Partitions: []kmsg.DeleteRecordsRequestTopicPartition{{Partition: good}, {Partition: bad}}}}
	all := []question{
		{4, list, func(a kmsg.Response) {
			r := a.(*kmsg.ListGroupsResponse)
			want(t, "list", r.ErrorCode, kerr.CoordinatorNotAvailable)
			if !slices.ContainsFunc(r.Groups, func(g kmsg.ListGroupsResponseGroup) bool { return g.Group == groups[0] }) {
				t.Errorf("%v are listed, want %s", r.Groups, groups[0])
			}
		}},
		{5, describe, func(a kmsg.Response) {
			r := a.(*kmsg.DescribeGroupsResponse).Groups
			codes("group", r[0].ErrorCode, r[1].ErrorCode, kerr.CoordinatorNotAvailable)
		}},
		{8, offsets, func(a kmsg.Response) {
			r := a.(*kmsg.OffsetFetchResponse).Groups
			codes("offset", r[0].ErrorCode, r[1].ErrorCode, kerr.NotCoordinator)
		}},
		{0, producers, func(a kmsg.Response) {
			r := a.(*kmsg.DescribeProducersResponse).Topics[0].Partitions
			codes("producers", r[0].ErrorCode, r[1].ErrorCode, kerr.RequestTimedOut)
		}},
		{4, dirs, func(a kmsg.Response) {
			r := a.(*kmsg.DescribeLogDirsResponse).Dirs
			codes("folder", r[0].ErrorCode, r[1].ErrorCode, kerr.RequestTimedOut)
			if !slices.ContainsFunc(r[1].Topics, func(t kmsg.DescribeLogDirsResponseDirTopic) bool { return t.Topic == "both" }) {
				t.Error("what lies on the disk that hangs is known, and not told")
			}
		}},
		{11, read, func(a kmsg.Response) {
			r := a.(*kmsg.FetchResponse).Topics
			codes("fetch", r[0].Partitions[0].ErrorCode, r[0].Partitions[1].ErrorCode, kerr.ReplicaNotAvailable)
			if got := values(t, r[1].Partitions[0].RecordBatches); len(got) != 1 {
				t.Errorf("%q is read from the disk that works", got)
			}
		}},
		{2, remove, func(a kmsg.Response) { // the last, for it holds the connection
			r := a.(*kmsg.DeleteRecordsResponse).Topics[0].Partitions
			codes("delete records", r[0].ErrorCode, r[1].ErrorCode, kerr.RequestTimedOut)
		}},
	}
	before := p.last
	for _, one := range all {
		frames = append(frames, p.request(one.version, one.q)...)
	}
	p.write(frames)
	for i, one := range all {
		one.check(expect[kmsg.Response](p, one.version, one.q, before+1+int32(i)))
	}
}
