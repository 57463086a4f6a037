package intercept

import (
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/millrace/millrace/engine/metrics"
	"github.com/millrace/millrace/sdk/chain"
)

// Options are how a host is made.
type Options struct {
	Places  int // as many as there are workers
	Clock   func() time.Time
	Metrics *metrics.Metrics
	Log     *slog.Logger
}

// Wanted is what settings say about plugins: names that are loaded, and all settings that
// begin with "plugin.".
type Wanted struct {
	Names []string
	Texts map[string]string
}

func (w *Wanted) same(o *Wanted) bool {
	return slices.Equal(w.Names, o.Names) && maps.Equal(w.Texts, o.Texts)
}

// Host has the plugins of a broker.
//
// Ownership: whoever applies metadata calls Plan, Use, Retire and Filter, and nobody else;
// the places belong to the workers that enter them.
type Host struct {
	o       Options
	places  []*Place
	current *Set
	planned *Set // made, and not in use yet
	closing sync.WaitGroup
}

// Set is all plugins as one state of the settings wants them.
type Set struct {
	wanted  Wanted
	plugins map[string]*plugin
	gone    []*plugin // of the set before, that this one does not have
}

// NewHost is a host without plugins.
//
// Ownership: who makes it ends it by Close.
func NewHost(o Options) *Host {
	h := &Host{o: o, current: &Set{plugins: map[string]*plugin{}}}
	for i := range max(1, o.Places) {
		p := &Place{number: i, turn: make(chan struct{}, 1), runner: chain.New(o.Clock)}
		p.turn <- struct{}{}
		h.places = append(h.places, p)
	}
	return h
}

// Plan makes what the settings want, aside. The error says which plugins cannot be made that
// were not broken in the same way before: the change must then be refused.
func (h *Host) Plan(w Wanted) (*Set, error) {
	if h.current.wanted.same(&w) {
		return h.current, nil
	}
	if h.planned != nil && h.planned.wanted.same(&w) {
		return h.planned, h.planned.news(h.current)
	}
	h.forget()
	set := &Set{wanted: w, plugins: map[string]*plugin{}}
	for _, name := range w.Names {
		texts := textsOf(name, w.Texts)
		if before := h.current.plugins[name]; before.same(texts) {
			set.plugins[name] = before
			continue
		}
		set.plugins[name] = makePlugin(name, texts, len(h.places))
	}
	for name, before := range h.current.plugins {
		if set.plugins[name] != before {
			set.gone = append(set.gone, before)
		}
	}
	h.planned = set
	return set, set.news(h.current)
}

// news says what is broken in s that was not broken so in the set before.
func (s *Set) news(before *Set) error {
	var wrong []error
	for _, name := range slices.Sorted(maps.Keys(s.plugins)) {
		p, old := s.plugins[name], before.plugins[name]
		if p.failed != nil && (old == nil || old.failed == nil || !maps.Equal(old.texts, p.texts)) {
			wrong = append(wrong, p.failed)
		}
	}
	return errors.Join(wrong...)
}

// forget closes what was planned and not taken into use.
func (h *Host) forget() {
	if h.planned == nil {
		return
	}
	for name, p := range h.planned.plugins {
		if h.current.plugins[name] != p {
			p.close()
		}
	}
	h.planned = nil
}

// Use takes what the settings want into use: filters that are made from now on are of it.
// What cannot be made is broken, said so loudly, and its topics take no records. After the
// filters of all topics were published, Retire follows.
func (h *Host) Use(w Wanted) {
	set, _ := h.Plan(w)
	if set == h.current {
		return
	}
	for _, name := range slices.Sorted(maps.Keys(set.plugins)) {
		p := set.plugins[name]
		if h.o.Metrics.PluginBroken(name, p.failed != nil); p.failed != nil {
			h.o.Log.Error("a plugin cannot be loaded: topics that use it take no records", "plugin", name, "error", p.failed)
		} else if h.current.plugins[name] != p {
			h.o.Log.Info("plugin loaded", "plugin", name, "on.error", p.rules.OnError)
		}
	}
	for name := range h.current.plugins {
		if set.plugins[name] == nil {
			h.o.Log.Info("plugin unloaded", "plugin", name)
			h.o.Metrics.DropPlugin(name)
		}
	}
	h.current, h.planned = set, nil
}

// Retire closes the instances that only earlier filters have, each once its place is free.
func (h *Host) Retire() {
	gone := h.current.gone
	h.current.gone = nil
	if len(gone) == 0 {
		return
	}
	h.closing.Go(func() {
		for _, place := range h.places {
			place.enter()
			for _, p := range gone {
				if len(p.instances) > place.number {
					closeInstance(p.instances[place.number])
				}
			}
			place.Leave()
		}
	})
}

// Settle waits until all retired instances are closed.
func (h *Host) Settle() { h.closing.Wait() }

// Close ends all plugins. Nobody may run one any more.
func (h *Host) Close() {
	h.Settle()
	h.forget()
	for _, p := range h.current.plugins {
		p.close()
	}
}

// DeadLetters are the dead-letter topics of the set, by plugin.
func (s *Set) DeadLetters() map[string]string {
	topics := map[string]string{}
	for name, p := range s.plugins {
		if p.failed == nil && p.rules.OnError == chain.DeadLetter {
			topics[name] = p.rules.DeadLetter
		}
	}
	return topics
}

// Check says why a topic cannot have a chain of those plugins.
func (s *Set) Check(names []string, fetch bool) error {
	for _, name := range names {
		p := s.plugins[name]
		switch {
		case p == nil:
			return errors.New("there is no plugin " + name + ": name it in plugins first")
		case p.failed != nil:
			return p.failed
		case fetch && p.rules.OnError == chain.DeadLetter:
			return errors.New("plugin " + name + " has on.error=dlq, which nothing can have on fetch: use fail or skip")
		}
	}
	return nil
}

// Lost says why a topic cannot have a chain of those plugins any more; what is wrong with it
// in the set before as well is not news.
func (s *Set) Lost(before *Set, names []string, fetch bool) error {
	err := s.Check(names, fetch)
	if err != nil && before.Check(names, fetch) != nil && len(names) > 0 {
		return nil
	}
	return err
}

// Current is the set in use.
func (h *Host) Current() *Set { return h.current }
