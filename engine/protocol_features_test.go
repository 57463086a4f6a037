package engine

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/diskio"
	"github.com/millrace/millrace/engine/cluster"
	"github.com/millrace/millrace/engine/quorum"
)

// finalized are the levels of the features, and their epoch.
func (p *peer) finalized() (levels map[string]int16, epoch int64) {
	p.t.Helper()
	a := ask[*kmsg.ApiVersionsResponse](p, 4, versionsRequest("test", "1"))
	levels = map[string]int16{}
	for _, f := range a.FinalizedFeatures {
		if f.MaxVersionLevel != f.MinVersionLevel || f.MaxVersionLevel < 1 {
			p.t.Errorf("finalized %+v", f)
		}
		levels[f.Name] = f.MaxVersionLevel
	}
	return levels, a.FinalizedFeaturesEpoch
}

// becomesLevel waits until a feature is finalized at a level, which a Kafka shows only
// after the answer, and tells the epoch.
func (p *peer) becomesLevel(name string, level int16) int64 {
	p.t.Helper()
	for end := time.Now().Add(patience); ; {
		levels, epoch := p.finalized()
		if levels[name] == level {
			return epoch
		}
		if !foreign() || time.Now().After(end) {
			p.t.Fatalf("%s is at level %d, want %d", name, levels[name], level)
		}
	}
}

// update asks for levels of features.
func (p *peer) update(validate bool, updates ...kmsg.UpdateFeaturesRequestFeatureUpdate) *kmsg.UpdateFeaturesResponse {
	p.t.Helper()
	q := kmsg.NewPtrUpdateFeaturesRequest()
	q.ValidateOnly, q.FeatureUpdates = validate, updates
	return ask[*kmsg.UpdateFeaturesResponse](p, 2, q)
}

func leveled(name string, level int16, way int8) kmsg.UpdateFeaturesRequestFeatureUpdate {
	u := kmsg.NewUpdateFeaturesRequestFeatureUpdate()
	u.Feature, u.MaxVersionLevel, u.UpgradeType = name, level, way
	return u
}

// TestFeaturesEpochGrows: clients take over the features of a response only when its epoch
// is higher than the highest they saw, so that without it nobody would notice a change.
func TestFeaturesEpochGrows(t *testing.T) {
	p := dialed(t)
	before := p.becomesLevel("group.version", 1)
	if before < 0 {
		t.Fatalf("epoch %d", before)
	}
	want(t, "validate", p.update(true, leveled("group.version", 0, 2)).ErrorCode, nil)
	p.becomesLevel("group.version", 1)
	want(t, "down", p.update(false, leveled("group.version", 0, 2)).ErrorCode, nil)
	down := p.becomesLevel("group.version", 0)
	want(t, "one of two cannot be", p.update(false, leveled("group.version", 1, 1), leveled("no.such", 1, 1)).ErrorCode, kerr.InvalidUpdateVersion)
	p.becomesLevel("group.version", 0)
	want(t, "up", p.update(false, leveled("group.version", 1, 1)).ErrorCode, nil)
	up := p.becomesLevel("group.version", 1)
	if before >= down || down >= up {
		t.Errorf("epochs %d, %d, %d do not grow", before, down, up)
	}
}

// TestUpdateFeaturesSaysWhy in Kafka's words, which kafka-features prints.
func TestUpdateFeaturesSaysWhy(t *testing.T) {
	p := dialed(t)
	for _, test := range []struct {
		update kmsg.UpdateFeaturesRequestFeatureUpdate
		reason string
	}{
		{leveled("transaction.version", 77, 1), fmt.Sprintf("Invalid update version 77 for feature transaction.version. Local controller %d only supports versions 0-2", p.self())},
		{leveled("no.such", 1, 1), fmt.Sprintf("Invalid update version 1 for feature no.such. Local controller %d does not support this feature.", p.self())},
		{
			leveled("transaction.version", 1, 1),
			"Invalid update version 1 for feature transaction.version. Can't downgrade the version of this feature without setting the upgrade type to either safe or unsafe downgrade.",
		},
	} {
		a := p.update(false, test.update)
		want(t, test.update.Feature, a.ErrorCode, kerr.InvalidUpdateVersion)
		expected := "The update failed for all features since the following feature had an error: " + test.reason
		if a.ErrorMessage == nil {
			t.Errorf("no message, want %q", expected)
		} else if *a.ErrorMessage != expected {
			t.Errorf("message %q, want %q", *a.ErrorMessage, expected)
		}
	}
}

// TestGroupVersionAllowsConsumerGroups: without it, members of consumer groups are sent
// away, and classic ones are not.
func TestGroupVersionAllowsConsumerGroups(t *testing.T) {
	p := dialed(t)
	p.coordinated()
	s := p.topic(1)
	group := unused(t)
	follow := &follower{p: p, group: group, id: "AAAAAAAAAAAAAAAAAAAAAA", topics: []string{s.name}}
	want(t, "join", follow.beat().ErrorCode, nil)
	want(t, "down", p.update(false, leveled("group.version", 0, 2)).ErrorCode, nil)
	p.becomesLevel("group.version", 0)
	want(t, "a member that goes on", follow.beat().ErrorCode, kerr.UnsupportedVersion)
	want(t, "a new member", p.beat(heartbeatRequest(unused(t), "BBBBBBBBBBBBBBBBBBBBBB", s.name)).ErrorCode, kerr.UnsupportedVersion)
	want(t, "describe", p.consumerGroup(group).ErrorCode, kerr.UnsupportedVersion)
	p.joined(5, unused(t))
	want(t, "up", p.update(false, leveled("group.version", 1, 1)).ErrorCode, nil)
	p.becomesLevel("group.version", 1)
	want(t, "the member goes on", follow.beat().ErrorCode, nil)
	want(t, "describe", p.consumerGroup(group).ErrorCode, nil)
}

// older leaves a data folder as a broker leaves it that knew neither consumer groups nor
// transactions of version 2.
func older(t *testing.T, folder string) {
	t.Helper()
	q, err := quorum.Open(quorum.Options{FS: diskio.OS, Folders: []string{folder}, NodeID: 1, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	q.Propose([]cluster.Record{
		&cluster.FeatureRecord{Name: cluster.GroupVersion}, &cluster.FeatureRecord{Name: cluster.TransactionVersion},
	}, func(_ *cluster.Image, err error) { done <- err })
	if err := errors.Join(<-done, q.Close()); err != nil {
		t.Fatal(err)
	}
}

// TestAnOlderFolderIsUpgraded: what was founded by an older program goes on as before, and
// gets what is new when somebody says so.
func TestAnOlderFolderIsUpgraded(t *testing.T) {
	onlyOurs(t)
	folder := t.TempDir()
	older(t, folder)
	b, err := begin(folder)
	if err != nil {
		t.Fatal(err)
	}
	p := dial(t, b.Addresses()[0])
	p.coordinated()
	levels, epoch := p.finalized()
	if levels["group.version"] != 0 || levels["transaction.version"] != 0 || levels["metadata.version"] == 0 {
		t.Fatalf("finalized %v", levels)
	}
	s := p.topic(1)
	x := p.transactor(unused(t))
	want(t, "add", x.add(s, 0), nil)
	want(t, "send", x.send(11, s, 0, "before"), nil)
	want(t, "commit", x.end(4, true), nil)
	p.stable(s, 0)
	p.joined(5, unused(t))
	q := heartbeatRequest("new", "AAAAAAAAAAAAAAAAAAAAAA", s.name)
	want(t, "a consumer group", p.beat(q).ErrorCode, kerr.UnsupportedVersion)

	want(t, "upgrade", p.update(false, leveled("group.version", 1, 1), leveled("transaction.version", 2, 1)).ErrorCode, nil)
	if p.becomesLevel("group.version", 1) <= epoch || p.becomesLevel("transaction.version", 2) <= epoch {
		t.Errorf("the epoch does not grow over %d", epoch)
	}
	want(t, "a consumer group", p.beat(q).ErrorCode, nil)
	want(t, "send", x.send(12, s, 0, "after"), nil)
	want(t, "commit", x.end(5, true), nil)
	p.stable(s, 0)
	_, epoch = p.finalized()
	stop(t, b)

	p = dial(t, start(t, folder).Addresses()[0])
	if p.becomesLevel("group.version", 1) <= epoch || p.becomesLevel("transaction.version", 2) <= epoch {
		t.Errorf("the epoch does not grow over %d with a restart", epoch)
	}
	if all, _ := p.committedOnly(12, s, 0); !slices.Equal(all, []string{"before", "after"}) {
		t.Errorf("committed are %q", all)
	}
}
