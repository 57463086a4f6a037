package sim

import (
	"errors"
	"iter"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// client is somebody who uses the broker: straight code that is a coroutine of the world, and
// runs only while an event of the world resumes it.
type client struct {
	w       *world
	name    string
	links   []*link
	resume  func() (struct{}, bool)
	stop    func()
	yield   func(struct{}) bool
	running bool
	done    bool
	doing   string // for the words of whoever finds it stuck
}

// stopped unwinds a client whose world ends.
type stopped struct{}

// spawn has body begin soon.
func (w *world) spawn(name string, body func(c *client)) *client {
	c := &client{w: w, name: name}
	c.resume, c.stop = iter.Pull(func(yield func(struct{}) bool) {
		defer func() {
			c.done = true
			if r := recover(); r != nil {
				if _, ok := r.(stopped); !ok {
					panic(r)
				}
			}
		}()
		c.yield = yield
		body(c)
	})
	w.clients = append(w.clients, c)
	w.after(w.between(0, 200*time.Millisecond), c.wake)
	return c
}

// wake lets the client go on until it waits again.
func (c *client) wake() {
	if c.done || c.running {
		return
	}
	c.running = true
	c.resume()
	c.running = false
}

// wait returns when f says so, and reports false when that did not come in time.
func (c *client) wait(most time.Duration, f func() bool) bool {
	if f() {
		return true
	}
	end := c.w.now.Add(most)
	c.w.at(end, c.wake)
	for {
		if !c.yield(struct{}{}) {
			panic(stopped{})
		}
		switch {
		case f():
			return true
		case !c.w.now.Before(end):
			return false
		}
	}
}

// pause lets some time pass.
func (c *client) pause(least, most time.Duration) {
	c.wait(c.w.between(least, most), func() bool { return false })
}

// think is the pause between two things that a client does.
func (c *client) think() {
	if !c.w.ending {
		c.pause(0, c.w.plan.think)
	}
}

// Errors that no broker sends.
var (
	errLost    = errors.New("the connection was lost")
	errExpired = errors.New("no answer came in time")
)

// call asks once, and answers an error when nobody knows what became of it.
func (c *client) call(k **link, late bool, q kmsg.Request) (kmsg.Response, error) {
	return c.callFor(c.w.plan.patience, k, late, q)
}

func (c *client) callFor(patience time.Duration, k **link, late bool, q kmsg.Request) (kmsg.Response, error) {
	one := c.connection(k, late).send(q)
	if !c.wait(patience, func() bool { return one.ended }) {
		c.w.reach("request timed out")
		(*k).drop()
		return nil, errExpired
	}
	return one.reply, one.err
}

// ask asks again and again until there is an answer that does not say to ask again. unknown
// reports whether one of the attempts may have been served without an answer. It gives up after a while,
// with the last error.
func ask[A kmsg.Response](c *client, k **link, late bool, q kmsg.Request, code func(A) int16) (a A, unknown bool, err error) {
	for end := c.w.now.Add(c.w.plan.perseverance); ; c.pause(time.Millisecond, c.w.plan.backoff) {
		reply, lost := c.call(k, late, q)
		if lost != nil {
			unknown, err = true, lost
		} else {
			a = reply.(A)
			err = kerr.ErrorForCode(code(a))
			if !retriable(err) {
				return a, unknown, err
			}
			unknown = unknown || errors.Is(err, kerr.CoordinatorNotAvailable) || errors.Is(err, kerr.KafkaStorageError)
		}
		if c.w.now.After(end) {
			return a, true, err
		}
	}
}

// retriable reports whether a client asks again after such an answer.
func retriable(err error) bool {
	for _, known := range []error{
		kerr.ConcurrentTransactions, kerr.CoordinatorLoadInProgress, kerr.CoordinatorNotAvailable, kerr.NotCoordinator,
		kerr.NotEnoughReplicas, kerr.NotLeaderForPartition, kerr.ReplicaNotAvailable, kerr.KafkaStorageError, kerr.UnstableOffsetCommit, kerr.RequestTimedOut,
	} {
		if errors.Is(err, known) {
			return true
		}
	}
	return false
}
