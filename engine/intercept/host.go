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
	Places  int    // as many as there are workers
	Dir     string // in which the files of plugins must lie
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
	maker   maker
	job     *job  // under way, or not looked at yet
	ready   ready // made, and not in use
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
	h := &Host{o: o, current: &Set{plugins: map[string]*plugin{}}, maker: maker{dir: o.Dir, places: max(1, o.Places)}}
	for i := range max(1, o.Places) {
		p := &Place{number: i, turn: make(chan struct{}, 1), runner: chain.New(o.Clock)}
		p.turn <- struct{}{}
		h.places = append(h.places, p)
	}
	return h
}

// Plan is what the settings want. While plugins of it are not made yet the error is a
// *Pending: they are being made, beside whoever applies metadata. Any other error says which
// plugins cannot be made: the change must then be refused. A plugin that is broken already stays
// so and is no error, unless the change is about it, by the settings that it names: then it is
// tried again, for a file may be back in its folder.
func (h *Host) Plan(w Wanted, named []string) (*Set, error) {
	same := h.current.wanted.same(&w)
	again := h.broken(func(p *plugin) bool { return p.among(named) || same && slices.Contains(named, "plugins") })
	if same && len(again) == 0 {
		return h.current, nil
	}
	set, missing := h.compose(w, again)
	if len(missing) > 0 {
		return nil, h.order(missing)
	}
	var wrong []error
	for _, name := range slices.Sorted(maps.Keys(set.plugins)) {
		if p := set.plugins[name]; p.failed != nil && p != h.current.plugins[name] {
			wrong = append(wrong, p.failed)
			h.ready.drop(p) // who asks again may have mended it
		}
	}
	return set, errors.Join(wrong...)
}

// Accept says that the change for which the set was planned is not refused: only then is a plugin
// taken into use that was broken so far, with the same settings.
func (s *Set) Accept() {
	for _, p := range s.plugins {
		p.accepted = true
	}
}

// Mended reports whether Use would take a plugin into use that is wanted as it is and was broken so far.
func (h *Host) Mended() bool { return len(h.mended()) > 0 }

func (h *Host) mended() []string {
	return h.broken(func(p *plugin) bool {
		made := h.ready.find(p.name, p.texts)
		return made != nil && made.accepted
	})
}

// broken are the plugins that could not be made and of which that is true.
func (h *Host) broken(is func(*plugin) bool) (names []string) {
	for name, p := range h.current.plugins {
		if p.failed != nil && is(p) {
			names = append(names, name)
		}
	}
	return names
}

// compose is the set that the settings want, and what has to be made for it first. What it has
// already with the same settings stays, but for plugins again.
func (h *Host) compose(w Wanted, again []string) (*Set, []order) {
	h.collect()
	set := &Set{wanted: w, plugins: map[string]*plugin{}}
	var missing []order
	for _, name := range w.Names {
		texts := textsOf(name, w.Texts)
		if before := h.current.plugins[name]; before.same(texts) && !slices.Contains(again, name) {
			set.plugins[name] = before
		} else if made := h.ready.find(name, texts); made != nil {
			set.plugins[name] = made
		} else {
			missing = append(missing, order{name, texts})
		}
	}
	return set, missing
}

// order has plugins made, if nothing else is being made.
func (h *Host) order(missing []order) *Pending {
	if h.job == nil {
		h.job = h.maker.begin(missing)
	}
	return &Pending{h.job, &h.maker}
}

// collect takes over what was made, if it is done.
func (h *Host) collect() {
	if h.job == nil {
		return
	}
	select {
	case <-h.job.done:
		h.ready.add(h.job.made)
		h.job = nil
	default:
	}
}

// Use takes what the settings want into use: filters that are made from now on are of it.
// What no plan has made is made here, which is so when a broker starts. What cannot be made
// is broken, said so loudly, and its topics take no records until a change that was accepted
// mends it. After the filters of all topics were published, Retire follows.
func (h *Host) Use(w Wanted) {
	mended := h.mended()
	if h.current.wanted.same(&w) && len(mended) == 0 {
		return
	}
	set, missing := h.compose(w, mended)
	for _, o := range missing {
		set.plugins[o.name] = makePlugin(o.name, o.texts, h.maker.dir, h.maker.places)
	}
	for name, before := range h.current.plugins {
		if set.plugins[name] != before {
			set.gone = append(set.gone, before)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(set.plugins)) {
		p := set.plugins[name]
		h.ready.drop(p)
		if h.o.Metrics.PluginBroken(name, p.failed); p.failed != nil {
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
	h.current = set
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
			place.Leave() // before anything is closed: that may take long, and nobody runs these any more
			for _, p := range gone {
				if len(p.instances) > place.number {
					closeInstance(p.instances[place.number])
				}
			}
		}
	})
}

// Settle waits until all retired instances are closed.
func (h *Host) Settle() { h.closing.Wait() }

// Close ends all plugins, once what is being made is made. Nobody may run one any more.
func (h *Host) Close() {
	h.Settle()
	h.maker.running.Wait()
	h.collect()
	for _, p := range h.ready {
		p.close()
	}
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
