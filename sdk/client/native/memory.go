package native

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
)

// Memory bounds the bytes that wait to be sent. Those who wait for some get them in the
// order in which they came. Any goroutine.
type Memory struct {
	mu      sync.Mutex //nolint:forbidigo // callers are any number of goroutines, once for each batch
	total   int64
	free    int64
	queue   []*waiting
	closed  bool
	blocked atomic.Int32 // length of queue
}

type waiting struct {
	need  int64
	given chan struct{} // closed: the bytes are the waiter's, or closed is set
}

// NewMemory has so many bytes.
func NewMemory(bytes int64) *Memory { return &Memory{total: bytes, free: bytes} }

// TryTake takes bytes if they are there and nobody waits for some.
func (m *Memory) TryTake(bytes int) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed || len(m.queue) > 0 || m.free < int64(bytes) {
		return false
	}
	m.free -= int64(bytes)
	return true
}

// Take takes bytes, and waits for them up to a time.
func (m *Memory) Take(ctx context.Context, bytes int, most time.Duration) error {
	w, err := m.line(int64(bytes))
	if err != nil || w == nil {
		return err
	}
	timer := time.NewTimer(most)
	defer timer.Stop()
	select {
	case <-w.given:
	case <-timer.C:
		err = fmt.Errorf("wait for %d bytes of buffer.memory=%d for max.block.ms=%d: %w", bytes, m.total, most.Milliseconds(), ErrTimeout)
	case <-ctx.Done():
		err = fmt.Errorf("wait for %d bytes of buffer.memory=%d: %w", bytes, m.total, context.Cause(ctx))
	}
	if err != nil && m.leave(w) {
		return err
	}
	if m.isClosed() {
		return ErrClosed
	}
	return nil
}

// line takes bytes, or stands in line for them.
func (m *Memory) line(bytes int64) (*waiting, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.closed:
		return nil, ErrClosed
	case bytes > m.total:
		return nil, fmt.Errorf("a batch, which is as large as batch.size or its first record, needs %d bytes and buffer.memory has %d in all: make those smaller or buffer.memory larger: %w", bytes, m.total, kerr.MessageTooLarge)
	case len(m.queue) == 0 && m.free >= bytes:
		m.free -= bytes
		return nil, nil
	}
	w := &waiting{need: bytes, given: make(chan struct{})}
	m.queue = append(m.queue, w)
	m.blocked.Add(1)
	return w, nil
}

// leave gives up a place in the line, and reports whether w still stood there: it may have
// been served at the last moment.
func (m *Memory) leave(w *waiting) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i, other := range m.queue {
		if other == w {
			m.queue = append(m.queue[:i], m.queue[i+1:]...)
			m.blocked.Add(-1)
			m.serve()
			return true
		}
	}
	return false
}

// Give gives bytes back.
func (m *Memory) Give(bytes int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.free += int64(bytes)
	m.serve()
}

func (m *Memory) serve() {
	for len(m.queue) > 0 && m.free >= m.queue[0].need {
		m.free -= m.queue[0].need
		close(m.queue[0].given)
		m.queue = m.queue[1:]
		m.blocked.Add(-1)
	}
}

// Blocked reports whether somebody waits.
func (m *Memory) Blocked() bool { return m.blocked.Load() > 0 }

func (m *Memory) isClosed() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.closed
}

// Close sends away all who wait, and who will come.
func (m *Memory) Close() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return
	}
	m.closed = true
	for _, w := range m.queue {
		close(w.given)
	}
	m.blocked.Add(-int32(len(m.queue)))
	m.queue = nil
}
