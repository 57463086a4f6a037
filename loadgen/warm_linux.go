package loadgen

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Memory takes the free memory of a machine that would hand it back to its host, and gives
// it to whoever needs it, so that a broker's page cache grows into memory that was in use
// just before.
//
// A virtual machine with free page reporting (virtio-balloon) hands blocks of free memory
// back within seconds, and touching them again costs three to six times as much as touching
// memory that the machine still has: 1.5 to 1.9 CPU-s for a gigabyte that is written to a
// file, against 0.3 to 0.5. Which of the two a run gets would depend on what ran before it,
// how long ago that was and in which pieces its broker writes. While Memory is held there is
// no free memory but some that was given back just now, whoever asks, whatever for.
//
// What is held is anonymous memory of this process. One goroutine owns it, from NewMemory to
// Close, and gives back as soon as the machine has less than spare of free memory, so that
// nothing else on the machine goes short.
type Memory struct {
	told  func(held, free int64)
	free  func() (int64, error) // memory of the machine, in bytes
	asked chan request
	done  chan struct{}
	held  [][]byte
}

// request asks for all free memory, until ctx is done.
type request struct {
	ctx context.Context
	end chan error
}

// Sizes in bytes, and how often free memory is looked at: a broker writes 2 GB/s at most.
const (
	spare      = 256 << 20
	piece      = 32 << 20
	lookMemory = 5 * time.Millisecond
	tellMemory = 5 * time.Second
)

// NewMemory holds nothing yet. What it tells, every few seconds while it takes memory, is how
// much it holds and how much is still free, in bytes; told may be nil.
func NewMemory(told func(held, free int64)) *Memory {
	m := &Memory{told: told, free: freeMemory, asked: make(chan request), done: make(chan struct{})}
	go m.run()
	return m
}

// Close gives everything back.
func (m *Memory) Close() error {
	close(m.asked)
	<-m.done
	return m.give(math.MaxInt)
}

// take takes what is free, but for spare, where the machine would hand it back to its host.
func (m *Memory) take(ctx context.Context) error {
	if !reportsFreePages() {
		return nil
	}
	r := request{ctx, make(chan error, 1)}
	m.asked <- r
	return <-r.end
}

// run is the goroutine that owns what is held.
func (m *Memory) run() {
	defer close(m.done)
	for {
		// While nothing is held there is nothing to look for.
		var looks <-chan time.Time
		if len(m.held) > 0 {
			looks = time.After(lookMemory)
		}
		select {
		case r, ok := <-m.asked:
			if !ok {
				return
			}
			r.end <- m.grow(r.ctx)
		case <-looks:
			if free, err := m.free(); err == nil && free < spare {
				_ = m.give(1) // to unmap a range that was mapped does not fail
			}
		}
	}
}

// grow touches memory, piece by piece.
func (m *Memory) grow(ctx context.Context) error {
	for last := time.Now(); ; {
		free, err := m.free()
		if err != nil || free < spare+piece {
			return err
		}
		if ctx.Err() != nil {
			return fmt.Errorf("take free memory: %w", ctx.Err())
		}
		if m.told != nil && time.Since(last) >= tellMemory {
			last = time.Now()
			m.told(int64(len(m.held))*piece, free)
		}
		p, err := unix.Mmap(-1, 0, piece, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
		if err != nil {
			return fmt.Errorf("take free memory: %w", err)
		}
		m.held = append(m.held, p)
		if err := unix.Madvise(p, unix.MADV_HUGEPAGE); err != nil && !errors.Is(err, unix.EINVAL) {
			return fmt.Errorf("take free memory in large pages: %w", err)
		}
		for i := 0; i < len(p); i += os.Getpagesize() {
			p[i] = 1
		}
	}
}

// give gives pieces back.
func (m *Memory) give(pieces int) error {
	var errs []error
	for ; pieces > 0 && len(m.held) > 0; pieces-- {
		last := len(m.held) - 1
		errs = append(errs, unix.Munmap(m.held[last]))
		m.held = m.held[:last]
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("give memory back: %w", err)
	}
	return nil
}

// freeMemory is what the machine has that is in no use at all, in bytes.
func freeMemory() (int64, error) {
	var s unix.Sysinfo_t
	if err := unix.Sysinfo(&s); err != nil {
		return 0, fmt.Errorf("ask for free memory: %w", err)
	}
	return int64(s.Freeram) * int64(s.Unit), nil
}

// reportsFreePages tells whether a device of the machine hands free memory back to its
// host: the feature bit VIRTIO_BALLOON_F_REPORTING (virtio 1.2, section 5.5.3).
func reportsFreePages() bool {
	const reporting = 5
	devices, err := os.ReadDir("/sys/bus/virtio/drivers/virtio_balloon")
	if err != nil {
		return false
	}
	for _, d := range devices {
		features, err := os.ReadFile("/sys/bus/virtio/drivers/virtio_balloon/" + d.Name() + "/features")
		if err == nil && len(features) > reporting && features[reporting] == '1' {
			return true
		}
	}
	return false
}
