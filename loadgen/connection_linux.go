package loadgen

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"

	"golang.org/x/sys/unix"

	"github.com/millrace/millrace/sdk/wire"
)

// maxFrame bounds the memory that one response may ask for.
const maxFrame = 256 << 20

// connection is one non-blocking socket to a broker. Owned by the loop that polls it.
type connection struct {
	file *os.File // keeps fd open
	fd   int
	in   []byte // received; in[read:have] is not yet handled
	read int
	have int
	out  []byte // out[gone:] is not yet in the socket
	gone int

	wantsWrite bool // EPOLLOUT is armed
}

func dial(address string) (*connection, error) {
	socket, err := net.Dial("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("connect to the broker: %w", err)
	}
	defer socket.Close() // File has its own descriptor
	file, err := socket.(*net.TCPConn).File()
	if err != nil {
		return nil, fmt.Errorf("take the socket to %s: %w", address, err)
	}
	c := &connection{file: file, fd: int(file.Fd()), in: make([]byte, 64<<10)}
	if err := unix.SetNonblock(c.fd, true); err != nil {
		return nil, errors.Join(fmt.Errorf("unblock the socket to %s: %w", address, err), file.Close())
	}
	return c, nil
}

func (c *connection) close() error { return c.file.Close() }

// flush writes what is left of out and reports whether all of it is in the socket.
func (c *connection) flush() (all bool, err error) {
	for c.gone < len(c.out) {
		n, err := writeSocket(c.fd, c.out[c.gone:])
		switch {
		case err == unix.EINTR:
		case err == unix.EAGAIN:
			return false, nil
		case err != nil:
			return false, fmt.Errorf("send to the broker: %w", err)
		default:
			c.gone += n
		}
	}
	c.out, c.gone = c.out[:0], 0
	return true, nil
}

// receive reads what the socket has, once, as ordinary clients do, and calls handle for every complete frame,
// without its length.
//
// Ownership: a frame is the handler's until it returns.
func (c *connection) receive(handle func(frame []byte) error) error {
	n, err := readSocket(c.fd, c.in[c.have:])
	switch {
	case err == unix.EAGAIN || err == unix.EINTR:
		return nil
	case err != nil:
		return fmt.Errorf("receive from the broker: %w", err)
	case n == 0:
		return fmt.Errorf("the broker closed the connection: %w", io.ErrUnexpectedEOF)
	}
	c.have += n
	for c.have-c.read >= 4 {
		size := int(binary.BigEndian.Uint32(c.in[c.read:]))
		if size > maxFrame {
			return fmt.Errorf("a response of %d bytes: %w", size, wire.ErrMalformed)
		}
		if c.have-c.read < 4+size {
			c.room(4 + size)
			return nil
		}
		frame := c.in[c.read+4 : c.read+4+size]
		c.read += 4 + size
		if err := handle(frame); err != nil {
			return err
		}
	}
	c.room(4)
	return nil
}

// room moves the unfinished frame to the front and makes space for all of it.
func (c *connection) room(size int) {
	rest := c.in[c.read:c.have]
	if size > len(c.in) {
		c.in = make([]byte, size+size/4)
	}
	if c.read > 0 || size > cap(rest) {
		copy(c.in, rest)
		c.read, c.have = 0, len(rest)
	}
}
