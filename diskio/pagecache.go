package diskio

import (
	"math"
	"sync"
	"sync/atomic"
)

const (
	// pieceBytes is how much is given to the disk at once: the more, the fewer wake-ups and
	// system calls. At most that much of a file at its end is beyond a PageCache's reach.
	pieceBytes = 1 << 20
	// awaitedBytes is how much at once while somebody waits for syncs of the same disk, which
	// would wait for the piece too.
	awaitedBytes = 256 << 10
	// calmBytes is how much is given to the disk until a sync that was waited for is forgotten.
	calmBytes = 64 << 20
	// blockBytes is what is dropped together: the system holds what was written in pieces of up to
	// that size, at multiples of theirs, and lets go of none that is not all in the range.
	blockBytes = 2 << 20
	// leastSwept is how long the queue must be before anybody looks for closed files in it.
	leastSwept = 1024
	// sweptBytes is how much is appended at most until that is done again.
	sweptBytes = 256 << 20
)

// PageCacheOptions are the limits of a PageCache.
type PageCacheOptions struct {
	// Bytes is how much of what was appended may stay in memory, negative for no limit.
	Bytes int64
}

// PageCache bounds how much memory the appended files of a disk take. What is appended is
// given to the disk soon (sync_file_range), so that no sync finds much to do, and dropped
// from the page cache (POSIX_FADV_DONTNEED) once more than Bytes were appended after it.
// A broker that writes for hours then keeps to the memory of its first minute, which is
// warm, and leaves the rest to others.
//
//	owner of the file ── Wrote ──▶ inbox ──▶ goroutine: write behind ─▶ queue ─▶ drop the oldest
//	                                                                       └──▶ or hold it for a reader
//
// It promises nothing about durability, and takes no part in it: data that is not on disk
// is never dropped. The newest Bytes stay whoever reads what else. What a reader near the end
// of the log is about to read stays, too, up to as many bytes again.
type PageCache struct {
	limit  atomic.Int64
	inbox  atomic.Pointer[chunk] // newest first
	wake   chan struct{}
	stop   chan struct{}
	ended  chan struct{}
	chunks sync.Pool

	written, dropped, kept atomic.Int64
	awaited                atomic.Int64 // until so many bytes were written, pieces are small

	// The goroutine's own.
	queue  []*chunk // oldest first, from head on
	head   int
	cached int64    // bytes in the queue
	sweeps int      // length of the queue from which on closed files are looked for
	swept  int64    // passed when that was done last
	held   []*chunk // older than the queue, for readers; oldest first
	holds  int64    // bytes of them
	passed int64    // bytes that were queued since it began
	looked int64    // passed when held was last looked through
}

// PageCacheStats is what a PageCache has done, in bytes since it began.
type PageCacheStats struct {
	Written int64 // given to the disk
	Dropped int64 // from memory
	Kept    int64 // and held back, for a reader
}

// chunk is a part of a file that was appended: blocks, or the beginning of one.
type chunk struct {
	trail    *Trail
	file     File
	from, to int64
	next     *chunk
}

// NewPageCache starts the goroutine; Close ends it.
func NewPageCache(o PageCacheOptions) *PageCache {
	c := &PageCache{wake: make(chan struct{}, 1), stop: make(chan struct{}), ended: make(chan struct{})}
	c.chunks.New = func() any { return new(chunk) }
	c.limit.Store(o.Bytes)
	go c.run()
	return c
}

// SetLimit changes how much may stay in memory (any goroutine).
func (c *PageCache) SetLimit(bytes int64) { c.limit.Store(bytes) }

// Stats is what was done so far (any goroutine).
func (c *PageCache) Stats() PageCacheStats {
	return PageCacheStats{Written: c.written.Load(), Dropped: c.dropped.Load(), Kept: c.kept.Load()}
}

// Close ends the goroutine. What is cached stays so.
func (c *PageCache) Close() {
	close(c.stop)
	<-c.ended
}

// Trail follows the appends to one file, and its readers. The zero value is a file that
// nothing was appended to.
//
// Ownership: who appends calls Wrote and Done; Read is for every goroutine.
type Trail struct {
	queued int64        // up to where the file was handed over
	recent atomic.Int64 // from there on all was appended in this run and not dropped; +1, zero: nothing

	// The lowest positions that were read, in this turn and in the one before; of a file of
	// which nothing was read they are zero, as unread is.
	low, lower atomic.Int64
	turned     int64 // bytes that had passed when low was begun anew; the PageCache's

	open *chunk // the last, while its block is not complete; the PageCache's

	closed atomic.Bool // who appended has closed the file
}

// Close says that the file is closed: a PageCache need not remember it (any goroutine).
func (t *Trail) Close() { t.closed.Store(true) }

// unread is a trail's low while nobody read.
const unread = 0

// Read notes that somebody reads at a position.
func (t *Trail) Read(position int64) {
	position++ // zero is unread
	for {
		low := t.low.Load()
		if low != unread && low <= position || t.low.CompareAndSwap(low, position) {
			return
		}
	}
}

// lowest is the lowest position that somebody read lately, math.MaxInt64 when nobody did.
func (t *Trail) lowest() int64 {
	lowest := int64(math.MaxInt64)
	for _, low := range []int64{t.low.Load(), t.lower.Load()} {
		if low != unread {
			lowest = min(lowest, low-1)
		}
	}
	return lowest
}

// turn forgets readers who were not here for a while.
func (t *Trail) turn() { t.lower.Store(t.low.Swap(unread)) }

// Start says that a file which has end bytes already is appended to.
func (t *Trail) Start(end int64) {
	t.queued = end / blockBytes * blockBytes
	t.recent.Store(end + 1)
}

// Recent reports whether what lies at a position, and behind it, was appended not long ago
// and is in memory, unless the system had no room for it (any goroutine).
func (t *Trail) Recent(position int64) bool {
	from := t.recent.Load()
	return from != 0 && position >= from-1
}

// Awaited says that somebody waits for a sync of a file on this disk (any goroutine).
func (c *PageCache) Awaited() { c.awaited.Store(c.written.Load() + calmBytes) }

// Wrote says that f was appended to up to end. It does not block.
func (c *PageCache) Wrote(t *Trail, f File, end int64) {
	if end-t.queued < awaitedBytes {
		return
	}
	piece := int64(pieceBytes)
	if c.written.Load() < c.awaited.Load() {
		piece = awaitedBytes
	}
	if to := end / piece * piece; to > t.queued {
		c.take(t, f, to)
	}
}

// Done says that nothing will be appended to f any more.
func (c *PageCache) Done(t *Trail, f File, end int64) {
	if end > t.queued {
		c.take(t, f, end)
	}
}

func (c *PageCache) take(t *Trail, f File, to int64) {
	k := c.chunks.Get().(*chunk)
	k.trail, k.file, k.from, k.to = t, f, t.queued, to
	t.queued = to
	for {
		head := c.inbox.Load()
		k.next = head
		if c.inbox.CompareAndSwap(head, k) {
			if head == nil {
				select {
				case c.wake <- struct{}{}:
				default: // it is awake, or will be
				}
			}
			return
		}
	}
}

func (c *PageCache) run() {
	defer close(c.ended)
	for {
		select {
		case <-c.stop:
			return
		case <-c.wake:
		}
		c.receive()
		c.sweep()
		c.shrink()
	}
}

// receive has what was appended written, and queues it.
func (c *PageCache) receive() {
	var oldest *chunk
	for k := c.inbox.Swap(nil); k != nil; {
		next := k.next
		k.next = oldest
		oldest, k = k, next
	}
	for k := oldest; k != nil; {
		next := k.next
		k.next = nil
		// An error means that the file is closed, or that the disk fails: whoever syncs
		// the file is told.
		if k.file.WriteBack(k.from, k.to-k.from) == nil {
			c.written.Add(k.to - k.from)
		}
		c.push(k)
		k = next
	}
}

// push puts what was appended to the block that it belongs to, and queues the rest.
func (c *PageCache) push(k *chunk) {
	t := k.trail
	if o := t.open; o != nil && o.file == k.file && o.to == k.from {
		end := min(k.to, o.from/blockBytes*blockBytes+blockBytes)
		c.cached += end - o.to
		c.passed += end - o.to
		o.to, k.from = end, end
		if end%blockBytes == 0 {
			t.open = nil
		}
		if k.from == k.to {
			c.spare(k)
			return
		}
	}
	if whole := k.to / blockBytes * blockBytes; k.from < whole && whole < k.to {
		begun := c.chunks.Get().(*chunk)
		*begun = chunk{trail: t, file: k.file, from: whole, to: k.to}
		k.to = whole
		c.enqueue(k)
		k = begun
	}
	if t.open = nil; k.to%blockBytes != 0 {
		t.open = k
	}
	c.enqueue(k)
}

func (c *PageCache) enqueue(k *chunk) {
	c.queue = append(c.queue, k)
	c.cached += k.to - k.from
	c.passed += k.to - k.from
}

func (c *PageCache) spare(k *chunk) {
	*k = chunk{}
	c.chunks.Put(k)
}

func (c *PageCache) pop() *chunk {
	k := c.queue[c.head]
	c.queue[c.head] = nil
	c.head++
	if c.head > len(c.queue)/2 {
		c.queue = append(c.queue[:0], c.queue[c.head:]...)
		c.head = 0
	}
	c.cached -= k.to - k.from
	return k
}

// sweep forgets what belongs to closed files, once the queue is twice as long as after the last
// time, or sweptBytes came since.
// They would be held, and what their trails are part of, until so much was appended behind them
// as may stay in memory: with small files that is nearly never, and without a limit it is never.
func (c *PageCache) sweep() {
	if len(c.queue)-c.head < c.sweeps && c.passed-c.swept < sweptBytes {
		return
	}
	c.swept = c.passed
	kept := c.queue[:0]
	for _, k := range c.queue[c.head:] {
		if !k.trail.closed.Load() {
			kept = append(kept, k)
			continue
		}
		c.cached -= k.to - k.from
		if k.trail.open == k {
			k.trail.open = nil
		}
		c.spare(k)
	}
	clear(c.queue[len(kept):])
	c.queue, c.head = kept, 0
	c.sweeps = max(leastSwept, 2*len(kept))
}

// shrink takes the oldest chunks from the queue until the rest is within the limit. One that
// a reader comes to is held back, the others are dropped.
func (c *PageCache) shrink() {
	limit := c.limit.Load()
	if limit < 0 {
		limit = math.MaxInt64 / 2
	}
	if c.passed-c.looked > limit/4 || c.holds > limit {
		c.sift(limit)
	}
	for c.head < len(c.queue) && c.cached > limit {
		k := c.pop()
		if k.trail.open == k {
			k.trail.open = nil
		}
		c.turn(k.trail, limit)
		if !k.wanted(limit) || !c.hold(k, limit) {
			c.drop(k)
		}
	}
}

// hold keeps a chunk for its reader, if there is room.
func (c *PageCache) hold(k *chunk, limit int64) bool {
	size := k.to - k.from
	if c.holds+size > limit {
		return false
	}
	c.held = append(c.held, k)
	c.holds += size
	c.kept.Add(size)
	return true
}

// sift drops what is held for nobody any more, and the oldest where that is too much.
func (c *PageCache) sift(limit int64) {
	c.looked = c.passed
	rest := c.held[:0]
	for _, k := range c.held {
		c.turn(k.trail, limit)
		if k.wanted(limit) && c.holds <= limit {
			rest = append(rest, k)
			continue
		}
		c.holds -= k.to - k.from
		c.drop(k)
	}
	clear(c.held[len(rest):])
	c.held = rest
}

// turn forgets readers who were not here between two looks at the trail, a quarter of the limit
// apart or more.
func (c *PageCache) turn(t *Trail, limit int64) {
	if c.passed-t.turned > limit/4 {
		t.turned = c.passed
		t.turn()
	}
}

// wanted reports whether a reader is in the chunk, or so little before it that it will
// come to it while it would still be in memory.
func (k *chunk) wanted(limit int64) bool {
	at := k.trail.lowest()
	return !k.trail.closed.Load() && at < k.to && at >= k.from-limit/2
}

func (c *PageCache) drop(k *chunk) {
	if from := k.trail.recent.Load(); from <= k.to {
		k.trail.recent.Store(k.to + 1)
	}
	// It was given to the disk long ago. What is not there yet, because the disk cannot
	// keep up, stays in memory until the system wants it. Where the block came in parts, the
	// last one takes all of it along: a part alone might not go.
	if from := k.from / blockBytes * blockBytes; k.file.Evict(from, k.to-from) == nil {
		c.dropped.Add(k.to - k.from)
	}
	c.spare(k)
}
