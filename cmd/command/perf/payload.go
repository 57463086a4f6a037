package perf

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
)

// payloads makes the values of records. Owner: the sending goroutine.
type payloads struct {
	size      int      // of random letters
	list      [][]byte // one of these at random instead
	monotonic bool     // the number of the record instead
	random    *rand.PCG
}

func newPayloads(o *ProducerOptions) payloads {
	return payloads{o.RecordSize, o.Payloads, o.Monotonic, rand.NewPCG(0, 0)}
}

// next is the value of record i, in buf where it is made for the purpose.
func (p *payloads) next(buf []byte, i int64) []byte {
	switch {
	case len(p.list) > 0:
		return p.list[p.random.Uint64()%uint64(len(p.list))]
	case p.monotonic:
		return strconv.AppendInt(buf[:0], i, 10)
	}
	if cap(buf) < p.size {
		buf = make([]byte, p.size)
	}
	buf = buf[:p.size]
	for at := 0; at < len(buf); at += 8 {
		word := p.random.Uint64()
		for j := at; j < min(at+8, len(buf)); j++ {
			buf[j] = byte('A' + (word&0xff)*26>>8)
			word >>= 8
		}
	}
	return buf
}

// ReadPayloads reads the values that a file holds, separated by delimiter.
func ReadPayloads(out io.Writer, path, delimiter string) ([][]byte, error) {
	absolute, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("read payloads: %w", err)
	}
	fmt.Fprintln(out, "Reading payloads from: "+absolute)
	text, err := os.ReadFile(path)
	if err != nil || len(text) == 0 {
		return nil, errors.New("File does not exist or empty file provided.")
	}
	list := bytes.Split(text, []byte(delimiter))
	if len(list[len(list)-1]) == 0 {
		list = list[:len(list)-1] // what follows the last delimiter
	}
	fmt.Fprintf(out, "Number of records read: %d\n", len(list))
	return list, nil
}
