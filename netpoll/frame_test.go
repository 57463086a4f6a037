package netpoll

import (
	"bytes"
	"testing"
)

func TestClassesHoldWhatTheyAreFor(t *testing.T) {
	last := -1
	for n := 1; n < 1<<20; n += 1 + n/50 {
		class, size := classOf(n)
		if size < n || n > smallest && size*4 > n*5+4 {
			t.Fatalf("%d bytes get %d", n, size)
		}
		if again, same := classOf(size); again != class || same != size {
			t.Fatalf("class %d of %d bytes holds %d, which is class %d of %d bytes", class, n, size, again, same)
		}
		if class < last {
			t.Fatalf("%d bytes are of class %d, fewer are of %d", n, class, last)
		}
		last = class
	}
	if class, size := classOf(1<<31 - 1); class >= classes || size != 1<<31 {
		t.Fatalf("the longest frame is of class %d with %d bytes", class, size)
	}
}

func TestFrameIsCountedAndPoisoned(t *testing.T) {
	b := &budget{limit: 1 << 20}
	b.charge(smallest, false)
	f := takeFrame(100, b, false)
	f.filled = copy(f.memory, "content")
	bytesOf := f.Bytes()
	f.Retain()
	f.Release()
	if string(bytesOf) != "content" || b.used.Load() != smallest {
		t.Fatalf("released once of twice: %q, %d bytes used", bytesOf, b.used.Load())
	}
	f.Release()
	if !bytes.Equal(bytesOf, bytes.Repeat([]byte{0xDB}, 7)) || b.used.Load() != 0 {
		t.Fatalf("released: %q, %d bytes used", bytesOf, b.used.Load())
	}
	mustPanic(t, "a release too many", f.Release)
	mustPanic(t, "a retain after the last release", f.Retain)
}

func mustPanic(t *testing.T, what string, f func()) {
	t.Helper()
	defer func() {
		if recover() == nil {
			t.Errorf("%s did not panic", what)
		}
	}()
	f()
}
