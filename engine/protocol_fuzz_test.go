package engine

import (
	"net"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/engine/fuzz"
)

// FuzzRequest sends arbitrary frames to a running broker, of every key: whatever comes,
// the broker lives and answers others.
func FuzzRequest(f *testing.F) {
	onlyOurs(f)
	b := start(f, f.TempDir(), "num.network.threads=1", "num.io.threads=1", "message.max.bytes=100000")
	control := dial(f, b.Addresses()[0])
	s := control.topicNamed("t", 1)
	control.coordinated()
	control.put(s, 0, records("one"))
	for key, versions := range advertised(control) {
		for version := versions.MinVersion; version <= versions.MaxVersion; version++ {
			f.Add(bare(control.request(version, kmsg.RequestForKey(key))))
		}
	}
	for _, q := range []kmsg.Request{
		produceRequest(9, s, 0, -1, records("two")), from(s, 0, 0), joinRequest("g", "", "range"), commitRequest(8, "g", s, 1),
		offsetsRequest(8, "g", s), versionsRequest("test", "1"),
	} {
		for version := int16(3); version <= q.MaxVersion(); version++ {
			f.Add(bare(control.request(version, q)))
		}
	}
	for _, body := range malformed() {
		f.Add(body)
	}
	fuzz.Run(f, func(t *testing.T, body []byte) {
		conn, err := net.Dial("tcp", b.Addresses()[0])
		if err != nil {
			t.Fatal(err)
		}
		// No farewell on the wire: thousands of ports would wait for one.
		if err := conn.(*net.TCPConn).SetLinger(0); err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := conn.Write(frame(body)); err != nil {
			t.Fatal(err)
		}
		// The only loop and the only shard have passed over the frame once they answer this.
		control.at(t).offsetAt(4, s, 0, -1, anyEpoch)
	})
}

// bare is a request without its length.
func bare(raw []byte) []byte { return raw[4:] }
