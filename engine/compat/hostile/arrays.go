package main

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"reflect"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// arrays are requests of every key and version that the broker advertises, each cut off behind the length of one of
// its arrays, wherever that stands, which says that two billion elements follow. Each must end its connection.
func arrays(s *scene) error {
	frames, err := s.arrayFrames()
	if err != nil {
		return err
	}
	for i := range max(s.connections, len(frames)) {
		f := frames[i%len(frames)]
		if err := s.refused(f.bytes); err != nil {
			return fmt.Errorf("%s version %d, array %d: %w", kmsg.NameForKey(f.key), f.version, f.array, err)
		}
	}
	return nil
}

// refused sends a frame and waits for the broker to close the connection.
func (s *scene) refused(frame []byte) error {
	c, err := (&net.Dialer{Timeout: 10 * time.Second}).DialContext(s.ctx, "tcp", s.address)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return err
	}
	if _, err := c.Write(frame); err != nil {
		return err
	}
	n, err := io.Copy(io.Discard, c)
	if late, ok := err.(net.Error); ok && late.Timeout() {
		return fmt.Errorf("the connection is still open, %d bytes were answered", n)
	}
	return nil
}

// A lie is a request with an array that is not there.
type lie struct {
	key, version int16
	array        int
	bytes        []byte
}

// arrayFrames asks the broker what it serves and lies about each array of it.
func (s *scene) arrayFrames() (frames []lie, err error) {
	c, err := s.dial()
	if err != nil {
		return nil, err
	}
	body, err := exchange(c, format(0, kmsg.NewPtrApiVersionsRequest()))
	if err != nil {
		return nil, fmt.Errorf("ask what is served: %w", err)
	}
	a := kmsg.NewPtrApiVersionsResponse()
	if err := a.ReadFrom(body[4:]); err != nil {
		return nil, fmt.Errorf("ask what is served: %w", err)
	}
	for _, k := range a.ApiKeys {
		for v := k.MinVersion; v <= k.MaxVersion; v++ {
			for array := 0; ; array++ {
				f := lieAbout(k.ApiKey, v, array)
				if f == nil {
					break
				}
				if len(f) > 0 {
					frames = append(frames, lie{k.ApiKey, v, array, f})
				}
			}
		}
	}
	return frames, nil
}

// lieAbout is a request in which one array claims too much: nil when there are fewer arrays, empty when the version
// does not have this one. Where its length stands shows when it grows from one to two.
func lieAbout(key, version int16, array int) []byte {
	one, two := populated(key, version, -1), populated(key, version, array)
	if two == nil {
		return nil
	}
	at := 0
	for at < len(one) && at < len(two) && one[at] == two[at] {
		at++
	}
	if at == len(one) {
		return []byte{}
	}
	q := kmsg.RequestForKey(key)
	q.SetVersion(version)
	f := append([]byte(nil), one[:at]...)
	if q.IsFlexible() {
		f = append(f, 0xff, 0xff, 0xff, 0xff, 0x07)
	} else {
		f = append(f[:at-3], 0x7f, 0xff, 0xff, 0xff)
	}
	f = append(f, make([]byte, 16)...) // some elements could begin
	header := kmsg.NewRequestFormatter(kmsg.FormatterClientID("hostile")).AppendRequest(nil, q, 1)
	q.SetVersion(version)
	header = header[:len(header)-len(q.AppendTo(nil))]
	f = append(header, f...)
	binary.BigEndian.PutUint32(f, uint32(len(f)-4))
	return f
}

// populated is the body of a request whose arrays have one element each, but for one that has two. It is nil when there
// is no such array.
func populated(key, version int16, double int) []byte {
	q := kmsg.RequestForKey(key)
	q.SetVersion(version)
	seen := 0
	fill(reflect.ValueOf(q).Elem(), double, &seen)
	if double >= seen {
		return nil
	}
	return q.AppendTo(nil)
}

func fill(v reflect.Value, double int, seen *int) {
	for i := range v.NumField() {
		field := v.Field(i)
		switch {
		case field.Kind() == reflect.Struct && v.Type().Field(i).Name != "UnknownTags":
			fill(field, double, seen)
		case field.Kind() == reflect.Slice && field.Type().Elem().Kind() != reflect.Uint8:
			length := 1
			if *seen == double {
				length = 2
			}
			*seen++
			element := reflect.New(field.Type().Elem()).Elem()
			if element.Kind() == reflect.Struct {
				element.Addr().MethodByName("Default").Call(nil)
				fill(element, double, seen)
			}
			field.Set(reflect.MakeSlice(field.Type(), length, length))
			for j := range length {
				field.Index(j).Set(element)
			}
		}
	}
}
