package engine

import (
	"fmt"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// brokenAtStart is a broker that was started without its plugin "absent", which a topic uses, as it does the
// plugin "good". It stays away until absent is false. There is no topic "dead".
func brokenAtStart(t *testing.T, settings ...string) (*Broker, *peer, subject) {
	t.Helper()
	onlyOurs(t)
	folder, b := begun(t)
	p := dial(t, b.Addresses()[0])
	s := p.topic(1)
	p.topicNamed("dead", 1)
	p.altered(aBroker, "", append(settings, "plugins=absent,good", "plugin.good.type=obedient", "plugin.absent.type=absent")...)
	p.altered(aTopic, s.name, "interceptors.produce=absent,good")
	if _, err := kadm.NewClient(client(t, b)).DeleteTopics(limited(t), "dead"); err != nil {
		t.Fatal(err)
	}
	stop(t, b)
	absent.Store(true)
	t.Cleanup(func() { absent.Store(false) })
	b = start(t, folder)
	p = dial(t, b.Addresses()[0])
	want(t, "without the plugin", p.produce(9, s, 0, records("keep 0")).ErrorCode, kerr.PolicyViolation)
	return b, p, s
}

// A change of another plugin that is refused leaves nothing that was found broken: what is loaded next is tried.
func TestAfterARefusedChangeWhatIsThereAgainIsLoaded(t *testing.T) {
	_, p, s := brokenAtStart(t)
	if code, why := p.alterWhy(aBroker, "", "plugin.good.on.error=dlq", "plugin.good.dlq.topic=nowhere"); !strings.Contains(why, "no such topic") {
		t.Fatalf("%s %q", errorName(code), why)
	}
	absent.Store(false)
	p.altered(aBroker, "", "plugins=absent,good")
	want(t, "once it was loaded", p.produce(9, s, 0, records("keep 1")).ErrorCode, nil)
}

// What is there again is not taken into use by a change that was refused, or that was only looked at, when
// something else changes later.
func TestWhatWasNotAcceptedIsNotUsed(t *testing.T) {
	for name, test := range map[string]struct {
		settings []string // besides those that there are anyway
		change   []string
		validate bool
		want     *kerr.Error
	}{
		"names the list and another":        {nil, []string{"plugins=absent,good", "plugin.good.on.error=dlq", "plugin.good.dlq.topic=nowhere"}, false, kerr.InvalidConfig},
		"names a setting of it and another": {nil, []string{"plugin.absent.type=absent", "plugin.good.on.error=dlq", "plugin.good.dlq.topic=nowhere"}, false, kerr.InvalidConfig},
		"refused for its dead letters": {
			[]string{"plugin.absent.on.error=dlq", "plugin.absent.dlq.topic=dead"}, []string{"plugin.absent.on.error=dlq"}, false, kerr.InvalidConfig,
		},
		"only looked at": {nil, []string{"plugins=absent,good"}, true, nil},
	} {
		t.Run(name, func(t *testing.T) {
			_, p, s := brokenAtStart(t, test.settings...)
			absent.Store(false)
			want(t, "the change", p.alter(aBroker, "", test.validate, test.change...), test.want)
			p.topicNamed("dead", 1)
			p.altered(aBroker, "", "message.max.bytes=2000000")
			want(t, "after other changes", p.produce(9, s, 0, records("keep 1")).ErrorCode, kerr.PolicyViolation)
			p.altered(aBroker, "", "plugins=absent,good")
			want(t, "once it was loaded", p.produce(9, s, 0, records("keep 1")).ErrorCode, nil)
		})
	}
}

// A plugin that is broken is tried again by those changes alone that are about it: one that makes a module
// takes its time.
func TestWhatIsBrokenIsNotTriedByOtherChanges(t *testing.T) {
	_, p, s := brokenAtStart(t)
	before := tried.Load()
	for _, change := range [][]string{
		{"message.max.bytes=2000000"},
		{"plugin.good.on.error=skip"},
		{"plugins=absent,good,third", "plugin.third.type=obedient"},
		{"plugins=absent,good"},
	} {
		p.altered(aBroker, "", change...)
	}
	q := kmsg.NewPtrAlterConfigsRequest() // which has to say all settings that shall be left
	r := kmsg.NewAlterConfigsRequestResource()
	r.ResourceType = aBroker
	for name, value := range map[string]string{"plugins": "absent,good", "plugin.good.type": "obedient", "plugin.absent.type": "absent"} {
		r.Configs = append(r.Configs, kmsg.AlterConfigsRequestResourceConfig{Name: name, Value: &value})
	}
	q.Resources = append(q.Resources, r)
	want(t, "all settings", ask[*kmsg.AlterConfigsResponse](p, 1, q).Resources[0].ErrorCode, nil)
	want(t, "afterwards", p.produce(9, s, 0, records("keep 1")).ErrorCode, kerr.PolicyViolation)
	if n := tried.Load() - before; n != 0 {
		t.Errorf("it was tried %d times", n)
	}
}

// Who asks for a plugin that is broken, and still cannot be made, is told so, as at first; two resources of
// one request do not have it made again for each other for ever.
func TestWhatIsStillBrokenIsRefused(t *testing.T) {
	b, p, s := brokenAtStart(t)
	for _, change := range []string{"plugins=absent,good", "plugin.absent.type=absent"} {
		code, why := p.alterWhy(aBroker, "", change)
		if code != kerr.InvalidConfig.Code || !strings.Contains(why, "not here today") {
			t.Errorf("%s: %s %q", change, errorName(code), why)
		}
	}
	q := kmsg.NewPtrIncrementalAlterConfigsRequest()
	for _, name := range []string{"", fmt.Sprint(b.NodeID())} {
		r := kmsg.NewIncrementalAlterConfigsRequestResource()
		r.ResourceType, r.ResourceName = aBroker, name
		r.Configs = append(r.Configs, alteration("plugin.absent.type=absent"))
		q.Resources = append(q.Resources, r)
	}
	for _, r := range ask[*kmsg.IncrementalAlterConfigsResponse](p, 1, q).Resources {
		want(t, "of two resources", r.ErrorCode, kerr.InvalidConfig)
	}
	absent.Store(false)
	p.altered(aBroker, "", "plugin.absent.type=absent")
	want(t, "once it was loaded", p.produce(9, s, 0, records("keep 1")).ErrorCode, nil)
}
