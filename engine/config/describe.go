package config

import (
	"cmp"
	"slices"
	"strings"
	"sync"

	"github.com/millrace/millrace/sdk/setting"
)

// Entry is one setting as DescribeConfigs and CreateTopics answer it.
type Entry struct {
	Name      string
	Value     *string // nil: unset, or sensitive
	Source    setting.Source
	Type      setting.Type
	ReadOnly  bool
	Sensitive bool
	Synonyms  []Synonym
	Doc       string
}

// Synonym is one place where the setting has a value; the first one counts.
type Synonym struct {
	Name   string
	Value  *string // nil: sensitive
	Source setting.Source
}

// DescribeTopic lists the settings of a topic whose values are v (the broker's Values
// with the topic's overrides on top): those named, or all when names is nil. Names that
// topics do not have are left out, as Kafka does.
func DescribeTopic(v *setting.Values, names []string) []Entry {
	return describe(v, names, true)
}

// DescribeBroker lists the settings of this broker.
func DescribeBroker(v *setting.Values, names []string) []Entry {
	all := describe(v, names, false)
	if more := families(v, names); len(more) > 0 {
		all = append(all, more...)
		slices.SortFunc(all, func(a, b Entry) int { return strings.Compare(a.Name, b.Name) })
	}
	return all
}

// families lists the keys of families that somebody gave and that are read.
func families(v *setting.Values, names []string) (all []Entry) {
	for _, f := range Settings.Families() {
		for name := range v.Family(f.Prefix) {
			if !f.Reads(name) || names != nil && !slices.Contains(names, name) {
				continue
			}
			e := Entry{Name: name, Type: setting.TypeString, ReadOnly: !f.Open(), Sensitive: f.Sensitive(name), Doc: cmp.Or(f.Doc, f.Note)}
			if e.Sensitive {
				e.Type = setting.TypePassword
			}
			for _, given := range v.GivenFamily(name) {
				s := Synonym{Name: name, Source: given.Source}
				if !e.Sensitive {
					s.Value = &given.Text
				}
				e.Synonyms = append(e.Synonyms, s)
			}
			e.Value, e.Source = e.Synonyms[0].Value, e.Synonyms[0].Source
			all = append(all, e)
		}
	}
	return all
}

// DescribeDefaults lists the dynamic defaults of all brokers: only those that somebody set.
func DescribeDefaults(v *setting.Values, names []string) []Entry {
	var all []Entry
	for _, e := range DescribeBroker(v, names) {
		for _, s := range e.Synonyms {
			if s.Source == setting.SourceDynamicDefault && s.Name == e.Name {
				e.Value, e.Source, e.Synonyms = s.Value, s.Source, []Synonym{s}
				all = append(all, e)
				break
			}
		}
	}
	return all
}

func describe(v *setting.Values, names []string, topic bool) []Entry {
	settings := brokerNames()
	if topic {
		settings = topicNames()
	}
	var all []Entry
	if names == nil {
		all = make([]Entry, 0, len(settings))
	}
	for _, n := range settings {
		name, d := n.name, n.Declaration
		if names != nil && !slices.Contains(names, name) {
			continue
		}
		e := entry(v, d, name)
		e.ReadOnly = !topic && d.Dynamic == setting.ReadOnly
		if !d.Internal || e.Source != setting.SourceDefault {
			all = append(all, e)
		}
	}
	return all
}

// listed is a setting under one of its names.
type listed struct {
	name string
	*setting.Declaration
}

// What brokers, and topics, call their settings, in the order in which they are listed.
var (
	brokerNames = sync.OnceValue(func() []listed {
		return inOrder(func(d *setting.Declaration) string { return d.Name })
	})
	topicNames = sync.OnceValue(func() []listed {
		return inOrder(func(d *setting.Declaration) string { return d.Topic })
	})
)

func inOrder(name func(*setting.Declaration) string) (all []listed) {
	for _, d := range Settings.All() {
		if name(d) != "" {
			all = append(all, listed{name(d), d})
		}
	}
	slices.SortFunc(all, func(a, b listed) int { return strings.Compare(a.name, b.name) })
	return all
}

// entry shows what d has by its own names, and behind that, as Kafka does, what a broker has
// for it by older ones, as log.retention.hours. What is given by an older name only is told
// at that name and nowhere else: a broker's log.retention.ms is null then, and a topic's
// retention.ms has the value and no synonym. Only settings that topics have, too, know older
// names in Kafka; node.id and log.dirs do not.
func entry(v *setting.Values, d *setting.Declaration, name string) Entry {
	e := Entry{Name: name, Source: setting.SourceDefault, Type: d.Type, Sensitive: d.Sensitive(), Doc: d.Meaning()}
	whole := cmp.Or(newer()[d.Name], d)
	named := false
	for _, given := range v.Given(whole) {
		named = named || given.Name == d.Name
		older := given.Name != d.Name && given.Name != d.Topic
		if older && (!named || whole.Topic == "") {
			continue
		}
		e.Synonyms = append(e.Synonyms, Synonym{Name: given.Name, Value: shown(d, given.Text), Source: given.Source})
	}
	if len(e.Synonyms) > 0 {
		e.Source = e.Synonyms[0].Source
	}
	if text, set := v.Text(d); set && (name == d.Topic || len(e.Synonyms) > 0) {
		e.Value = shown(d, text)
	}
	return e
}

// newer is the setting that an older name stands for, by that name: log.retention.ms for log.retention.minutes.
var newer = sync.OnceValue(func() map[string]*setting.Declaration {
	all := map[string]*setting.Declaration{}
	for _, d := range Settings.All() {
		for _, name := range d.Synonyms {
			if d.Topic != "" {
				all[name] = d
			}
		}
	}
	return all
})

// shown is text, or nil when it must not be seen.
func shown(d *setting.Declaration, text string) *string {
	if d.Sensitive() {
		return nil
	}
	return &text
}
