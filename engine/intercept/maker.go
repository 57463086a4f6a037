package intercept

import (
	"maps"
	"sync"
)

// mostReady is how many plugins may be ready and in nobody's use, besides those that were made
// last: of changes that were decided and not applied yet, and of changes that came to nothing.
const mostReady = 16

// order is a plugin that is to be made.
type order struct {
	name  string
	texts map[string]string
}

// job is plugins that are made aside. Who holds one may wait for it; what was made is the
// host's, once done is closed.
type job struct {
	orders []order
	made   []*plugin
	done   chan struct{}
}

// maker makes plugins, for compiling a module takes up to some seconds and whoever applies
// metadata has others to serve.
//
// Ownership: of the host, which ends it. It has one goroutine while there is a job, and one
// for each who waits.
type maker struct {
	dir     string
	places  int
	running sync.WaitGroup
}

// begin has the orders made.
func (m *maker) begin(orders []order) *job {
	j := &job{orders: orders, done: make(chan struct{})}
	m.running.Go(func() {
		defer close(j.done)
		for _, o := range orders {
			j.made = append(j.made, makePlugin(o.name, o.texts, m.dir, m.places))
		}
	})
	return j
}

// Pending is the error of a plan whose plugins are still being made: whoever asked asks again
// once it has waited.
type Pending struct {
	job   *job
	maker *maker
}

func (*Pending) Error() string { return "its plugins are still being made" }

// Wait has then called, on a goroutine of the host, when it is worth asking again.
func (p *Pending) Wait(then func()) {
	p.maker.running.Go(func() {
		<-p.job.done
		then()
	})
}

// ready are plugins that were made and are in nobody's use.
//
// Ownership: of whoever applies metadata.
type ready []*plugin

// find is the plugin that is what those settings want; nil when there is none.
func (r ready) find(name string, texts map[string]string) *plugin {
	for _, p := range r {
		if p.name == name && maps.Equal(p.texts, texts) {
			return p
		}
	}
	return nil
}

// add adds what was made, and closes the oldest when there are too many.
func (r *ready) add(made []*plugin) {
	*r = append(*r, made...)
	for len(*r) > mostReady+len(made) {
		(*r)[0].close()
		*r = (*r)[1:]
	}
}

// drop takes a plugin out; somebody else has it from now on.
func (r *ready) drop(p *plugin) {
	for i, one := range *r {
		if one == p {
			*r = append((*r)[:i:i], (*r)[i+1:]...)
			return
		}
	}
}
