package engine

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// topicOn makes topics until one lies in a folder.
func topicOn(p *peer, b *Broker, folder string, settings ...string) subject {
	p.t.Helper()
	for i := range 20 {
		s := p.topicNamed(fmt.Sprintf("on-%s-%d", filepath.Base(folder), i), 1, settings...)
		if len(onDisk(b, s.name, folder)) == 1 {
			return s
		}
	}
	p.t.Fatalf("no topic lies in %s", folder)
	return subject{}
}

// A batch is neither stored nor answered before its dead letters are durable, and not at all
// when they cannot be.
func TestDeadLettersAreDurableBeforeTheBatchIsAnswered(t *testing.T) {
	onlyOurs(t)
	good, bad := filepath.Join(t.TempDir(), "good"), filepath.Join(t.TempDir(), "bad")
	files := newHanging(bad)
	b, err := beginOn(files, good+","+bad)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Stop(context.Background()) }) // says that a disk is broken
	p := dial(t, b.Addresses()[0])
	dead := topicOn(p, b, bad)
	p.altered(aBroker, "", "plugins=guard", "plugin.guard.type=obedient", "plugin.guard.on.error=dlq", "plugin.guard.dlq.topic="+dead.name)
	s := topicOn(p, b, good, "interceptors.produce", "guard")
	want(t, "before", p.produce(9, s, 0, records("keep 0", "bad 1")).ErrorCode, nil)

	mend := files.hang()
	t.Cleanup(mend)
	q := produceRequest(9, s, 0, -1, records("keep 2", "bad 3"))
	p.send(9, q)
	<-files.held // the dead letter is on its way to the disk
	if stored := p.another().stored(s, 0); len(stored) != 1 {
		t.Errorf("stored are %q while a dead letter waits", stored)
	}
	mend()
	a := expect[*kmsg.ProduceResponse](p, 9, q, p.last)
	want(t, "when the disk works again", a.Topics[0].Partitions[0].ErrorCode, nil)
	p.holds(s, "0 keep 0", "2 keep 2")
	p.holds(dead, "0 bad 1", "1 bad 3")

	b.registry.Named(dead.name).Replica(0).Disk().Fail(errors.New("broken by the test"))
	want(t, "without a disk for dead letters", p.produce(9, s, 0, records("keep 4", "bad 5")).ErrorCode, kerr.RequestTimedOut)
	want(t, "a batch without any", p.produce(9, s, 0, records("keep 4")).ErrorCode, nil)
	p.holds(s, "0 keep 0", "2 keep 2", "4 keep 4")
}
