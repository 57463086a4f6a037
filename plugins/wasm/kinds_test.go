package wasm

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"maps"
	"reflect"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/millrace/millrace/engine/fuzz"
	"github.com/millrace/millrace/plugins/wasm/abi"
	. "github.com/millrace/millrace/plugins/wasm/assemble"
	"github.com/millrace/millrace/plugins/wasm/message"
	"github.com/millrace/millrace/sdk"
)

// client is a module of a plugin that runs in clients: what it exports is code, which may use
// two local variables i and two I. Its memory has an answer at listAt.
func client(export string, code, answer []byte, more ...func(*Module)) Module {
	m := Module{
		Memory: Limits{Min: 8},
		Functions: []Function{
			{Export: abi.Marker},
			{Export: abi.Alloc, Params: "i", Results: "i", Code: I32(inputAt)},
			{Export: export, Params: "i", Results: "I", Locals: "iiII", Code: code},
		},
		Data: []Data{{At: listAt, Bytes: answer}},
	}
	for _, f := range more {
		f(&m)
	}
	return m
}

// says is a module whose export always gives the same answer.
func says(export string, answer []byte, more ...func(*Module)) Module {
	return client(export, I64(listAt<<32|int64(len(answer))), answer, more...)
}

// dealing is an assignor whose assign is code.
func dealing(code, answer []byte) Module {
	return client(abi.Assign, code, answer, func(m *Module) {
		m.Data = append(m.Data, Data{At: 40, Bytes: []byte("\x00\x00\x00\x00deal")})
		m.Functions = append(m.Functions, Function{Export: abi.Assignor, Params: "i", Results: "I", Code: I64(40<<32 | 8)})
	})
}

func deals(answer []byte) Module { return dealing(I64(listAt<<32|int64(len(answer))), answer) }

// introduces is an assignor that says so of itself.
func introduces(text string) Module {
	return says(abi.Assignor, []byte(text), export(abi.Assign, "i", "I", pass))
}

// number is numbers and texts, one after the other.
func numbers(parts ...any) []byte {
	var p []byte
	for _, part := range parts {
		switch v := part.(type) {
		case int:
			p = binary.LittleEndian.AppendUint32(p, uint32(v))
		case string:
			p = append(p, v...)
		}
	}
	return p
}

// value is an answer that is a datum.
func value(form abi.Form, p string, headers ...sdk.Header) []byte {
	return message.AppendDatum(nil, &message.Datum{Form: form, Bytes: []byte(p), Headers: headers})
}

// dealt is an answer that is an assignment: members, each with how many partitions there are.
func dealt(parts ...any) []byte {
	p := abi.AppendU32(nil, abi.DealtMagic)
	for _, part := range parts {
		switch v := part.(type) {
		case int:
			p = abi.AppendU32(p, uint32(v))
		case string:
			p = abi.AppendText(p, v)
		}
	}
	return p
}

// try loads a module as a kind and calls it once.
type try func(t testing.TB, c sdk.Config) (call func() error, spent func() int64, err error)

func tryPartitioner(t testing.TB, c sdk.Config) (func() error, func() int64, error) {
	made, err := sdk.Partitioners.New("wasm", c)
	if err != nil {
		return nil, nil, err
	}
	t.Cleanup(func() { closeAgain(t, made) })
	at := &sdk.Placement{Topic: "orders", Key: []byte("k"), Value: bytes.Repeat([]byte("v"), 1000), Partitions: 5, Available: []int32{0, 1, 2, 3, 4}}
	return func() error {
		n, err := made.(sdk.Chooser).Choose(at)
		if err != nil && made.Partition(at) >= 0 {
			t.Error("Partition answers a partition where Choose has an error")
		}
		if err == nil && (n < 0 || n >= 5) {
			t.Errorf("partition %d of 5 was believed", n)
		}
		return err
	}, made.(interface{ Spent() int64 }).Spent, nil
}

func trySerializer(t testing.TB, c sdk.Config) (func() error, func() int64, error) {
	made, err := NewSerializer(reflect.TypeFor[int32](), c)
	if err == nil {
		err = c.Err()
	}
	if err != nil {
		return nil, nil, err
	}
	t.Cleanup(func() { closeAgain(t, made) })
	return func() error {
		headers := []sdk.Header{{Key: "a", Value: []byte("1")}}
		_, err := made.Append([]byte("before"), "orders", &headers, int32(7))
		if err != nil && (len(headers) != 1 || headers[0].Key != "a") {
			t.Errorf("a call that failed left the headers %v", headers)
		}
		return err
	}, made.(*Serializer).Spent, nil
}

func tryDeserializer(t testing.TB, c sdk.Config) (func() error, func() int64, error) {
	made, err := NewDeserializer(reflect.TypeFor[int32](), c)
	if err == nil {
		err = c.Err()
	}
	if err != nil {
		return nil, nil, err
	}
	t.Cleanup(func() { closeAgain(t, made) })
	return func() error {
		_, err := made.Decode("orders", nil, []byte("data"))
		return err
	}, made.(*Deserializer).Spent, nil
}

func tryAssignor(t testing.TB, c sdk.Config) (func() error, func() int64, error) {
	made, err := sdk.Assignors.New("wasm", c)
	if err != nil {
		return nil, nil, err
	}
	t.Cleanup(func() { closeAgain(t, made) })
	return func() error {
		_, err := made.Assign([]sdk.GroupMember{{ID: "a", Topics: []string{"t"}}, {ID: "b", Topics: []string{"s", "t"}}}, map[string]int32{"s": 1, "t": 3})
		return err
	}, made.(*Assignor).Spent, nil
}

func closeAgain(t testing.TB, made any) {
	if err := made.(interface{ Close() error }).Close(); err != nil {
		t.Error(err)
	}
}

// shownRecord is what interceptors of single records are shown.
func shownRecord() *sdk.Record {
	return &sdk.Record{Topic: "orders", Partition: 3, Offset: 9, Timestamp: time.UnixMilli(70), Key: []byte("k"), Value: "v", Headers: []sdk.Header{{Key: "a", Value: []byte("1")}}}
}

// answered is that record as an answer, changed.
func answered(change func(r *message.Record)) []byte {
	r := message.Record{Topic: "orders", Partition: 3, Offset: 9, Timestamp: 70, Same: true,
		Key: message.Part{Form: abi.FormBytes, Bytes: []byte("k")}, Value: message.Part{Form: abi.FormText, Bytes: []byte("v")}}
	change(&r)
	return message.AppendRecord(nil, &r)
}

// unharmed says so when a call that failed has left something else than there was.
func unharmed(t testing.TB, r *sdk.Record, err error) error {
	t.Helper()
	if err != nil && !reflect.DeepEqual(r, shownRecord()) {
		t.Errorf("a call that failed left %+v", r)
	}
	return err
}

func tryProducerInterceptor(t testing.TB, c sdk.Config) (func() error, func() int64, error) {
	made, err := sdk.ProducerInterceptors.New("wasm", c)
	if err != nil {
		return nil, nil, err
	}
	t.Cleanup(func() { closeAgain(t, made) })
	return func() error {
		r := shownRecord()
		return unharmed(t, r, made.OnSend(r))
	}, made.(*ProducerInterceptor).Spent, nil
}

func tryConsumerInterceptor(t testing.TB, c sdk.Config) (func() error, func() int64, error) {
	made, err := sdk.ConsumerInterceptors.New("wasm", c)
	if err != nil {
		return nil, nil, err
	}
	t.Cleanup(func() { closeAgain(t, made) })
	return func() error {
		r := shownRecord()
		_, err := made.OnConsume([]*sdk.Record{r})
		return unharmed(t, r, err)
	}, made.(*ConsumerInterceptor).Spent, nil
}

var kindsOfClients = map[string]try{
	abi.Partition: tryPartitioner, abi.Serialize: trySerializer, abi.Deserialize: tryDeserializer, abi.Assign: tryAssignor,
	abi.OnSend: tryProducerInterceptor, abi.OnConsume: tryConsumerInterceptor,
}

// ofForm is a key or a value.
func ofForm(form abi.Form, p string) message.Part { return message.Part{Form: form, Bytes: []byte(p)} }

// lies are modules that answer what they may not, or nothing that is for them to say.
var lies = map[string]struct {
	export string
	module Module
	want   error
}{
	"the partition behind the last":   {abi.Partition, client(abi.Partition, I64(5), nil), ErrOutput},
	"a negative partition":            {abi.Partition, client(abi.Partition, I64(-1), nil), ErrOutput},
	"a partition of more than 32 bit": {abi.Partition, client(abi.Partition, I64(1<<32), nil), ErrOutput},
	"a partition":                     {abi.Partition, client(abi.Partition, I64(4), nil), nil},

	"no bytes at all":            {abi.Serialize, client(abi.Serialize, pass, nil), ErrOutput},
	"bytes outside of memory":    {abi.Serialize, client(abi.Serialize, I64((8<<16-4)<<32|100), nil), ErrOutput},
	"bytes of four GiB":          {abi.Serialize, client(abi.Serialize, I64(64<<32|1<<32-1), nil), ErrOutput},
	"bytes without a magic":      {abi.Serialize, says(abi.Serialize, numbers("none", 24, 1, 0, 0, 0)), ErrOutput},
	"bytes with another's magic": {abi.Serialize, says(abi.Serialize, numbers(abi.PlaceMagic, 24, 1, 0, 0, 0)), ErrOutput},
	"a rest in the header":       {abi.Serialize, says(abi.Serialize, numbers(abi.DatumMagic, 8, 1, 0, 0, 0)), ErrOutput},
	"a rest behind the end":      {abi.Serialize, says(abi.Serialize, numbers(abi.DatumMagic, 1000, 1, 0, 0, 0)), ErrOutput},
	"more bytes than there are":  {abi.Serialize, says(abi.Serialize, numbers(abi.DatumMagic, 24, 1, 100, 0, 0, "four")), ErrOutput},
	"fewer bytes than there are": {abi.Serialize, says(abi.Serialize, numbers(abi.DatumMagic, 24, 1, 2, 0, 0, "four")), ErrOutput},
	"a form that does not exist": {abi.Serialize, says(abi.Serialize, value(9, "")), ErrOutput},
	"text where bytes belong":    {abi.Serialize, says(abi.Serialize, value(abi.FormText, "text")), ErrOutput},
	"a null that has bytes":      {abi.Serialize, says(abi.Serialize, value(abi.FormNull, "text")), ErrOutput},
	"a billion headers":          {abi.Serialize, says(abi.Serialize, numbers(abi.DatumMagic, 24, 1, 0, 1<<30, 0)), ErrOutput},
	"a header that is cut short": {abi.Serialize, says(abi.Serialize, numbers(abi.DatumMagic, 24, 1, 0, 1, 0, 1, "a", 7, "b")), ErrOutput},
	"a header key that is null":  {abi.Serialize, says(abi.Serialize, numbers(abi.DatumMagic, 24, 1, 0, 1, 0, -1, -1)), ErrOutput},
	"a header key of no text":    {abi.Serialize, says(abi.Serialize, value(abi.FormBytes, "", sdk.Header{Key: "\xff"})), ErrOutput},
	"a fault":                    {abi.Serialize, says(abi.Serialize, value(abi.FormFault, "\xff not today")), ErrGuest},
	"bytes":                      {abi.Serialize, says(abi.Serialize, value(abi.FormBytes, "four", sdk.Header{Key: "b"})), nil},
	"null":                       {abi.Serialize, says(abi.Serialize, value(abi.FormNull, "")), nil},

	"no value":                     {abi.Deserialize, client(abi.Deserialize, pass, nil), ErrOutput},
	"a value of another type":      {abi.Deserialize, says(abi.Deserialize, value(abi.FormText, "seven")), ErrOutput},
	"a number that is too large":   {abi.Deserialize, says(abi.Deserialize, value(abi.FormInteger, "\x00\x00\x00\x80\x00\x00\x00\x00")), ErrOutput},
	"a number that is cut short":   {abi.Deserialize, says(abi.Deserialize, value(abi.FormInteger, "\x00\x00\x00")), ErrOutput},
	"null where a number belongs":  {abi.Deserialize, says(abi.Deserialize, value(abi.FormNull, "")), ErrOutput},
	"an unsigned for a signed":     {abi.Deserialize, says(abi.Deserialize, value(abi.FormUnsigned, "\x01\x00\x00\x00\x00\x00\x00\x00")), ErrOutput},
	"JSON for a number":            {abi.Deserialize, says(abi.Deserialize, value(abi.FormJSON, strings.Repeat("[", 10_000))), ErrOutput},
	"a value that cannot be had":   {abi.Deserialize, says(abi.Deserialize, value(abi.FormFault, "no")), ErrGuest},
	"a value":                      {abi.Deserialize, says(abi.Deserialize, value(abi.FormInteger, "\x07\x00\x00\x00\x00\x00\x00\x00")), nil},
	"a stranger":                   {abi.Assign, deals(dealt(1, "stranger", 1, "t", 0)), ErrOutput},
	"a topic that is not there":    {abi.Assign, deals(dealt(1, "a", 1, "u", 0)), ErrOutput},
	"a partition behind":           {abi.Assign, deals(dealt(1, "a", 1, "t", 3)), ErrOutput},
	"a partition before":           {abi.Assign, deals(dealt(1, "a", 1, "t", -1)), ErrOutput},
	"a partition twice":            {abi.Assign, deals(dealt(2, "a", 1, "t", 0, "b", 1, "t", 0)), ErrOutput},
	"a topic that nobody asked of": {abi.Assign, deals(dealt(1, "a", 1, "s", 0)), ErrOutput},
	"a member twice":               {abi.Assign, deals(dealt(2, "a", 1, "t", 0, "a", 1, "t", 1)), ErrOutput},
	"a billion members":            {abi.Assign, deals(dealt(1<<30, "a", 0)), ErrOutput},
	"a billion partitions":         {abi.Assign, deals(dealt(1, "a", 1<<30)), ErrOutput},
	"an assignment and more":       {abi.Assign, deals(append(dealt(1, "a", 0), 1)), ErrOutput},
	"no assignment":                {abi.Assign, dealing(pass, nil), ErrOutput},
	"a datum for an assignment":    {abi.Assign, deals(value(abi.FormBytes, "")), ErrOutput},
	"an assignment that cannot be": {abi.Assign, deals(value(abi.FormFault, "not enough members")), ErrGuest},
	"an assignment":                {abi.Assign, deals(dealt(2, "a", 1, "t", 2, "b", 2, "t", 1, "s", 0)), nil},

	"a record outside of memory":     {abi.OnSend, client(abi.OnSend, I64((8<<16-4)<<32|100), nil), ErrOutput},
	"a record without a magic":       {abi.OnSend, says(abi.OnSend, numbers("none", 56, 0, 0)), ErrOutput},
	"a record that is cut short":     {abi.OnSend, says(abi.OnSend, answered(func(*message.Record) {})[:60]), ErrOutput},
	"a record and more":              {abi.OnSend, says(abi.OnSend, append(answered(func(*message.Record) {}), 1)[:70]), ErrOutput},
	"a record to nowhere":            {abi.OnSend, says(abi.OnSend, answered(func(r *message.Record) { r.Topic = "" })), ErrOutput},
	"a topic of no text":             {abi.OnSend, says(abi.OnSend, answered(func(r *message.Record) { r.Topic = "\xff" })), ErrOutput},
	"a partition that cannot be":     {abi.OnSend, says(abi.OnSend, answered(func(r *message.Record) { r.Partition = -2 })), ErrOutput},
	"an offset of its own":           {abi.OnSend, says(abi.OnSend, answered(func(r *message.Record) { r.Offset = 10 })), ErrOutput},
	"a time before all":              {abi.OnSend, says(abi.OnSend, answered(func(r *message.Record) { r.Timestamp = -1 })), ErrOutput},
	"bytes where text was":           {abi.OnSend, says(abi.OnSend, answered(func(r *message.Record) { r.Value = ofForm(abi.FormBytes, "v") })), ErrOutput},
	"null where text was":            {abi.OnSend, says(abi.OnSend, answered(func(r *message.Record) { r.Value = message.Part{} })), ErrOutput},
	"a form of a fault":              {abi.OnSend, says(abi.OnSend, answered(func(r *message.Record) { r.Key = ofForm(abi.FormFault, "v") })), ErrOutput},
	"a header of no text":            {abi.OnSend, says(abi.OnSend, answered(func(r *message.Record) { r.Same, r.Headers = false, []sdk.Header{{Key: "\xff"}} })), ErrOutput},
	"a record that may not be sent":  {abi.OnSend, says(abi.OnSend, value(abi.FormNull, "")), ErrOutput},
	"a record that cannot be seen":   {abi.OnSend, says(abi.OnSend, value(abi.FormFault, "not today")), ErrGuest},
	"a record as it was":             {abi.OnSend, client(abi.OnSend, pass, nil), nil},
	"a record that was changed":      {abi.OnSend, says(abi.OnSend, answered(func(r *message.Record) { r.Topic, r.Partition, r.Timestamp = "other", -1, abi.NoTime })), nil},
	"a record of another topic":      {abi.OnConsume, says(abi.OnConsume, answered(func(r *message.Record) { r.Topic = "other" })), ErrOutput},
	"a record of another partition":  {abi.OnConsume, says(abi.OnConsume, answered(func(r *message.Record) { r.Partition = 4 })), ErrOutput},
	"bytes for a record":             {abi.OnConsume, says(abi.OnConsume, value(abi.FormBytes, "v")), ErrOutput},
	"a record that is left out":      {abi.OnConsume, says(abi.OnConsume, value(abi.FormNull, "")), nil},
	"a record that was read as such": {abi.OnConsume, says(abi.OnConsume, answered(func(r *message.Record) { r.Value = ofForm(abi.FormText, "w") })), nil},

	"an assignor without a name":   {abi.Assign, introduces("\x00\x00\x00\x00"), refusedAtLoad},
	"an assignor's third way":      {abi.Assign, introduces("\x02\x00\x00\x00deal"), refusedAtLoad},
	"a name without end":           {abi.Assign, introduces("\x00\x00\x00\x00" + strings.Repeat("a", 250)), refusedAtLoad},
	"a name that is no text":       {abi.Assign, introduces("\x00\x00\x00\x00\xff"), refusedAtLoad},
	"an assignor that is nameless": {abi.Assign, client(abi.Assign, pass, nil), refusedAtLoad},
	"a partition of another type":  {abi.Partition, client(abi.Partition, I32(0), nil, with(func(m *Module) { m.Functions[2].Results = "i" })), refusedAtLoad},
	"another kind":                 {abi.Partition, client(abi.Serialize, pass, nil), refusedAtLoad},
	"an interceptor":               {abi.Serialize, guest(pass), refusedAtLoad},
}

// attacks are code that any export may have, and the error that it ends with.
var attacks = map[string]struct {
	code []byte
	want error
}{
	"an endless loop":    {Seq(forever, pass), ErrFuel},
	"recursion":          {Seq(I32(0), Call(2)), ErrStack},
	"memory that grows":  {Seq(Loop(I32(1), Op(0x40, 0, 0x1a), Br(0)), pass), ErrFuel},
	"a trap":             {Op(0x00), ErrTrap},
	"a division by zero": {Seq(I64(1), I64(0), Op(0x7f)), ErrTrap},
	"a load beyond":      {Seq(I32(-1), Load(), Op(0x1a), pass), ErrTrap},
	"fills memory":       {Seq(Loop(I32(0), I32(1), I32(8<<16), Op(0xfc, 11, 0), Br(0)), pass), ErrFuel},
}

func settingsOf(t testing.TB, module []byte, more map[string]string) sdk.Config {
	t.Helper()
	values := map[string]string{"path": save(t, module), "sha256": sum(module)}
	maps.Copy(values, more)
	return sdk.NewConfig(values)
}

// after is what becomes of a call: within its time, and with the error that is wanted.
func after(t *testing.T, call func() error, want error) {
	t.Helper()
	soon(t, 3*patience, func() {
		err := call()
		if !errors.Is(err, want) || (err == nil) != (want == nil) {
			t.Errorf("the call ended with %v, want %v", err, want)
		}
		if err != nil && !strings.Contains(err.Error(), "guest.wasm") {
			t.Errorf("the error %q does not say which module it is of", err)
		}
	})
}

func TestClientsAreNotHarmed(t *testing.T) {
	for name, test := range lies {
		t.Run(name, func(t *testing.T) {
			call, _, err := kindsOfClients[test.export](t, settingsOf(t, test.module.Bytes(), nil))
			if errors.Is(test.want, refusedAtLoad) {
				if err == nil {
					t.Error("it was loaded")
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			for range 3 {
				after(t, call, test.want)
			}
		})
	}
	for export, load := range kindsOfClients {
		for name, test := range attacks {
			t.Run(export+" "+name, func(t *testing.T) {
				m := client(export, test.code, nil)
				if export == abi.Assign {
					m = dealing(test.code, nil)
				}
				call, spent, err := load(t, settingsOf(t, m.Bytes(), nil))
				if err != nil {
					t.Fatal(err)
				}
				for range 3 { // another instance each time
					before := spent()
					if after(t, call, test.want); spent() <= before {
						t.Error("the call cost nothing")
					}
				}
			})
		}
	}
}

func TestInputThatDoesNotFit(t *testing.T) {
	liar := client(abi.Partition, pass, nil, export(abi.Alloc, "i", "i", Seq(Get(0), I32(inputMost), Op(0x4b), If(I32(-8), Op(0x0f)), I32(inputAt))))
	for name, test := range map[string]struct {
		module Module
		more   map[string]string
		want   error
	}{
		"room outside of memory": {liar, nil, ErrOutput},
		"less memory":            {client(abi.Partition, pass, nil), map[string]string{"memory.max": "524288"}, ErrOutput},
	} {
		made, err := sdk.Partitioners.New("wasm", settingsOf(t, test.module.Bytes(), test.more))
		if err != nil {
			t.Fatal(err)
		}
		large := &sdk.Placement{Topic: "t", Value: make([]byte, 1<<20), Partitions: 1}
		if _, err := made.(sdk.Chooser).Choose(large); !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", name, err, test.want)
		}
		if n, err := made.(sdk.Chooser).Choose(&sdk.Placement{Topic: "t", Partitions: 1}); err != nil || n != 0 {
			t.Errorf("%s: what fits is %d, %v", name, n, err)
		}
		closeAgain(t, made)
	}
}

// A guest counts its calls and traps in every fifth: callers that come at the same time each
// get an instance of their own, and none gets one that has trapped.
func TestCallersShareInstances(t *testing.T) {
	answer := value(abi.FormBytes, "four")
	code := Seq(GlobalGet(0), I64(1), Op(0x7c), GlobalSet(0), GlobalGet(0), I64(5), Op(0x51), If(Op(0x00)), I64(listAt<<32|int64(len(answer))))
	m := client(abi.Serialize, code, answer, func(m *Module) { m.Globals = []Global{{}} })
	made, err := NewSerializer(reflect.TypeFor[string](), settingsOf(t, m.Bytes(), map[string]string{"instances": "3"}))
	if err != nil {
		t.Fatal(err)
	}
	s := made.(*Serializer)
	var callers sync.WaitGroup
	for range 8 {
		callers.Go(func() {
			for range 200 {
				if p, err := s.Append(nil, "t", nil, "v"); err == nil && string(p) != "four" || err != nil && !errors.Is(err, ErrTrap) {
					t.Errorf("%q, %v", p, err)
				}
			}
		})
	}
	callers.Wait()
	if n := s.Faults(); n < 1600/5-3 || n > 1600/5 {
		t.Errorf("%d of 1600 calls failed, want every fifth of each instance", n)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if _, err := s.Append(nil, "t", nil, "v"); !errors.Is(err, ErrClosed) {
		t.Errorf("a call after the end: %v", err)
	}
}

func TestAPartitionerHearsOfBatches(t *testing.T) {
	count := Seq(GlobalGet(0), I64(1), Op(0x7c), GlobalSet(0), pass)
	m := client(abi.Partition, GlobalGet(0), nil, export(abi.OnNewBatch, "i", "I", count), func(m *Module) { m.Globals = []Global{{}} })
	made, err := sdk.Partitioners.New("wasm", settingsOf(t, m.Bytes(), nil))
	if err != nil {
		t.Fatal(err)
	}
	defer closeAgain(t, made)
	at := &sdk.Placement{Topic: "t", Partitions: 9}
	for want := range int32(5) {
		if got := made.Partition(at); got != want {
			t.Errorf("after %d batches it chooses %d", want, got)
		}
		made.(sdk.BatchListener).OnNewBatch("t", want)
	}
	deaf, err := sdk.Partitioners.New("wasm", settingsOf(t, client(abi.Partition, pass, nil).Bytes(), nil))
	if err != nil {
		t.Fatal(err)
	}
	defer closeAgain(t, deaf)
	if _, listens := deaf.(sdk.BatchListener); listens {
		t.Error("a module without on_new_batch listens")
	}
}

func TestSettingsOfClients(t *testing.T) {
	module := client(abi.Serialize, pass, nil).Bytes()
	for name, test := range map[string]struct {
		more map[string]string
		want string
	}{
		"another file": {map[string]string{"sha256": sum([]byte("another"))}, "and not the one that sha256 pins"},
		"too many":     {map[string]string{"instances": "1000"}, "instances: 1000 is not between"},
		"a deadline":   {map[string]string{"deadline.ms": "5"}, `unknown setting "deadline.ms"`},
		"no path":      {map[string]string{"path": ""}, "path: name the file"},
	} {
		if _, err := sdk.Serializers[string]().New("wasm", settingsOf(t, module, test.more)); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v, want %q", name, err, test.want)
		}
	}
	type hidden struct{ x func() }
	if _, err := sdk.Serializers[hidden]().New("wasm", settingsOf(t, module, nil)); err == nil || !strings.Contains(err.Error(), "not seen by JSON") {
		t.Errorf("a type that cannot be told: %v", err)
	}
	_ = hidden{x: nil}
}

func TestInspect(t *testing.T) {
	for export, want := range map[string]string{abi.Partition: "partitioner", abi.Serialize: "serializer", abi.Deserialize: "deserializer", abi.OnProduce: "interceptor",
		abi.OnSend: "producer-interceptor", abi.OnConsume: "consumer-interceptor"} {
		info, err := Inspect(settingsOf(t, client(export, pass, nil).Bytes(), map[string]string{"deadline.ms": "5"}))
		if err != nil || len(info.Kinds) != 1 || info.Kinds[0] != want || info.Memory != 8<<16 {
			t.Errorf("%s is %+v, %v", export, info, err)
		}
	}
	shelf.Lock()
	defer shelf.Unlock()
	if len(shelf.modules) != 0 {
		t.Errorf("%d modules are left", len(shelf.modules))
	}
}

func FuzzAnswers(f *testing.F) {
	for _, test := range lies {
		for _, d := range test.module.Data {
			f.Add(d.Bytes)
		}
	}
	members := []sdk.GroupMember{{ID: "a", Topics: []string{"t"}}, {ID: "b", Topics: []string{"s", "t"}}}
	partitions := map[string]int32{"s": 1, "t": 3}
	fuzz.Run(f, func(t *testing.T, answer []byte) {
		list, err := assigned(answer, members, partitions)
		if err != nil && !errors.Is(err, ErrOutput) && !errors.Is(err, ErrGuest) {
			t.Errorf("the error is %v", err)
		}
		taken := 0
		for id, of := range list {
			if taken += len(of); id != "a" && id != "b" {
				t.Errorf("%q was believed", id)
			}
		}
		if taken > 4 {
			t.Errorf("%d of 4 partitions were dealt", taken)
		}
		var d message.Datum
		if err := datum(&d, answer); err != nil && !errors.Is(err, ErrOutput) && !errors.Is(err, ErrGuest) {
			t.Errorf("the error is %v", err)
		}
	})
}

// Calls of a partitioner in Rust, in nanoseconds.
func BenchmarkChoose(b *testing.B) {
	made, err := sdk.Partitioners.New("wasm", settingsOf(b, rust(b, "partitioner"), nil))
	if err != nil {
		b.Fatal(err)
	}
	defer closeAgain(b, made)
	at := &sdk.Placement{Topic: "orders", Key: []byte("key"), Value: make([]byte, 100), Partitions: 6, Available: []int32{0, 1, 2, 3, 4, 5}}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := made.(sdk.Chooser).Choose(at); err != nil {
			b.Fatal(err)
		}
	}
}

// A guest is told of acknowledgements and commits, and counts them; what it does wrong then is told to
// nobody but the log, and takes nothing away from the records that follow.
func TestInterceptorsHearOfWhatBecame(t *testing.T) {
	count := Seq(GlobalGet(0), I64(1), Op(0x7c), GlobalSet(0), pass)
	refuses := Seq(GlobalGet(0), I64(2), Op(0x51), If(Op(0x00)), pass) // once it has heard of two
	counting := func(m *Module) { m.Globals = []Global{{}} }
	sends, err := sdk.ProducerInterceptors.New("wasm", settingsOf(t, client(abi.OnSend, refuses, nil, export(abi.OnAck, "i", "I", count), counting).Bytes(), nil))
	if err != nil {
		t.Fatal(err)
	}
	reads, err := sdk.ConsumerInterceptors.New("wasm", settingsOf(t, client(abi.OnConsume, refuses, nil, export(abi.OnCommit, "i", "I", count), counting).Bytes(), nil))
	if err != nil {
		t.Fatal(err)
	}
	for n := range 3 {
		_, err := reads.OnConsume([]*sdk.Record{shownRecord()})
		for what, err := range map[string]error{"sent": sends.OnSend(shownRecord()), "read": err} {
			if errors.Is(err, ErrTrap) != (n == 2) || (err != nil) != (n == 2) {
				t.Errorf("%s, told %d times: %v", what, n, err)
			}
		}
		sends.OnAck(sdk.RecordMetadata{}, errors.New("lost"))
		reads.OnCommit(map[sdk.TopicPartition]sdk.OffsetAndMetadata{{Topic: "t"}: {Offset: 1}})
	}
	closeAgain(t, sends)
	closeAgain(t, reads)
	sends.OnAck(sdk.RecordMetadata{}, nil) // too late, and harmless
	traps := client(abi.OnSend, pass, nil, export(abi.OnAck, "i", "I", Op(0x00)))
	if sends, err = sdk.ProducerInterceptors.New("wasm", settingsOf(t, traps.Bytes(), nil)); err != nil {
		t.Fatal(err)
	}
	defer closeAgain(t, sends)
	for range 3 {
		sends.OnAck(sdk.RecordMetadata{}, nil)
		if err := sends.OnSend(shownRecord()); err != nil {
			t.Errorf("after a trap in on_ack: %v", err)
		}
	}
	if n := sends.(*ProducerInterceptor).Faults(); n != 3 {
		t.Errorf("%d faults were counted", n)
	}
}

// fragile is a type of a program that does not expect what a module can make up.
type fragile struct{ text string }

func (f fragile) MarshalJSON() ([]byte, error) { return json.Marshal(f.text) }

func (f *fragile) UnmarshalJSON(p []byte) error {
	f.text = string(p[1 : len(p)-1])
	if f.text == "bad" {
		panic("it is bad")
	}
	return nil
}

// talkative panics when somebody wants to know what is wrong.
type talkative struct{}

func (talkative) Error() string { panic("no words") }

// An instance comes back from a call in which code of the program has panicked.
func TestAPanicOfTheProgramKeepsNoInstance(t *testing.T) {
	bad := answered(func(r *message.Record) { r.Value = ofForm(abi.FormJSON, `"bad"`) })
	sends, err := sdk.ProducerInterceptors.New("wasm", settingsOf(t, says(abi.OnSend, bad, export(abi.OnAck, "i", "I", pass)).Bytes(), nil))
	if err != nil {
		t.Fatal(err)
	}
	reads, err := sdk.ConsumerInterceptors.New("wasm", settingsOf(t, says(abi.OnConsume, bad).Bytes(), nil))
	if err != nil {
		t.Fatal(err)
	}
	decodes, err := NewDeserializer(reflect.TypeFor[fragile](), settingsOf(t, says(abi.Deserialize, value(abi.FormJSON, `"bad"`)).Bytes(), map[string]string{"instances": "1"}))
	if err != nil {
		t.Fatal(err)
	}
	chooses, err := sdk.Partitioners.New("wasm", settingsOf(t, client(abi.Partition, pass, nil, export(abi.LeaderRacks, "", "", nil)).Bytes(), nil))
	if err != nil {
		t.Fatal(err)
	}
	at := &sdk.Placement{Topic: "t", Partitions: 1, LeaderRack: func(int32) string { panic("no racks") }}
	for name, call := range map[string]struct {
		do   func() error
		want error // of a call whose panic is not the program's to see
	}{
		"OnSend": {func() error { r := shownRecord(); r.Value = fragile{"v"}; return sends.OnSend(r) }, ErrOutput},
		"OnAck":  {func() error { sends.OnAck(sdk.RecordMetadata{}, talkative{}); return nil }, nil},
		"OnConsume": {func() error {
			r := shownRecord()
			r.Value = fragile{"v"}
			_, err := reads.OnConsume([]*sdk.Record{r})
			return err
		}, ErrOutput},
		"Decode":    {func() error { _, err := decodes.Decode("t", nil, nil); return err }, ErrOutput},
		"Partition": {func() error { chooses.Partition(at); return nil }, nil},
	} {
		for range 3 {
			ended := make(chan error, 1)
			go func() {
				defer func() { _ = recover() }() // as a client does
				defer func() {
					if len(ended) == 0 {
						ended <- nil
					}
				}()
				if err := call.do(); err != nil {
					ended <- err
				}
			}()
			select {
			case err := <-ended:
				if !errors.Is(err, call.want) {
					t.Errorf("%s: %v, want %v", name, err, call.want)
				}
			case <-time.After(10 * time.Second):
				t.Fatalf("%s hangs: the instance was not given back", name)
			}
		}
	}
	for _, made := range []any{sends, reads, decodes, chooses} {
		closeAgain(t, made)
	}
}

// What a guest fails at in a Poll stays as it was, and says nothing about the other records; it does not
// cost more than three instances.
func TestOneRecordDoesNotDecideAboutOthers(t *testing.T) {
	null, fault := value(abi.FormNull, ""), value(abi.FormFault, "no")
	sized := func(n int32, code ...[]byte) []byte {
		return Seq(I32(inputAt+40), Load(), I32(n), Op(0x46), If(code...))
	}
	code := Seq(sized(3, I64((listAt+int64(len(null)))<<32|int64(len(fault))), Op(0x0f)), sized(4, Op(0x00)), I64(listAt<<32|int64(len(null))))
	reads, err := sdk.ConsumerInterceptors.New("wasm", settingsOf(t, client(abi.OnConsume, code, append(null, fault...)).Bytes(), nil))
	if err != nil {
		t.Fatal(err)
	}
	defer closeAgain(t, reads)
	for values, want := range map[string]struct {
		left   string
		failed int
		err    error
	}{
		"a b":                     {"", 0, nil},
		"a bad b":                 {"bad", 1, ErrGuest},
		"bad a trap b bad":        {"bad trap bad", 3, ErrGuest},
		"trap a trap a":           {"trap trap", 2, ErrTrap},
		"a trap trap b trap c":    {"trap trap trap c", 4, ErrTrap},
		"trap trap trap a b trap": {"trap trap trap a b trap", 6, ErrTrap},
	} {
		var all []*sdk.Record
		for _, v := range strings.Fields(values) {
			all = append(all, &sdk.Record{Topic: "t", Value: v})
		}
		after, err := reads.OnConsume(all)
		var left []string
		for _, r := range after {
			left = append(left, r.Value.(string))
		}
		var over *sdk.PassedOver
		if !errors.Is(err, want.err) || errors.As(err, &over) && over.Records != want.failed || strings.Join(left, " ") != want.left {
			t.Errorf("of %q is left %q: %v", values, left, err)
		}
	}
}

// How many headers came whoever produced the record decided: looking through them takes no memory for each.
func TestHeadersThatCameAreNotCopied(t *testing.T) {
	came := make([]sdk.Header, 200_000)
	for n := range came {
		came[n].Key = strconv.Itoa(n)
	}
	came[len(came)-1].Key = "\xff"
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for _, key := range []string{"\xff", "\xfe"} {
		if err := believableHeaders(came, []sdk.Header{{Key: key}}); (err != nil) != (key == "\xfe") {
			t.Errorf("a key %q: %v", key, err)
		}
	}
	runtime.ReadMemStats(&after)
	if took := after.TotalAlloc - before.TotalAlloc; took > 1<<20 { // others may allocate meanwhile
		t.Errorf("looking at %d headers took %d bytes", len(came), took)
	}
}

func TestHeadersThatCameMayBeAnswered(t *testing.T) {
	many := make([]sdk.Header, 1100)
	for n := range many {
		many[n].Key = "many"
	}
	more := func(n int) []sdk.Header { return append(many[:1100:1100], make([]sdk.Header, n)...) }
	odd := []sdk.Header{{Key: "\xff"}}
	for name, test := range map[string]struct {
		in, out []sdk.Header
		want    error
	}{
		"as they came":           {many, many, nil},
		"more":                   {many, more(maxHeaders), nil},
		"too many more":          {many, more(maxHeaders + 1), ErrOutput},
		"a key of no text":       {many, odd, ErrOutput},
		"a key that came":        {odd, append(odd[:1:1], odd[0], sdk.Header{Key: "h"}), nil},
		"keys that came, twice":  {append(odd[:1:1], sdk.Header{Key: "\xfe"}), []sdk.Header{{Key: "\xfe"}, {Key: "\xff"}, {Key: "\xfe"}}, nil},
		"one that came, another": {odd, []sdk.Header{odd[0], {Key: "\xfe"}}, ErrOutput},
		"another key of no txt":  {odd, []sdk.Header{{Key: "\xfe"}}, ErrOutput},
	} {
		if err := believableHeaders(test.in, test.out); !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", name, err, test.want)
		}
	}
	var again message.Record
	if err := again.Read(message.AppendRecord(nil, &message.Record{Topic: "t", Headers: many})); err != nil || len(again.Headers) != len(many) {
		t.Errorf("%d headers come through as %d: %v", len(many), len(again.Headers), err)
	}
	var datum message.Datum
	if err := datum.Read(message.AppendDatum(nil, &message.Datum{Headers: many})); err != nil || len(datum.Headers) != len(many) {
		t.Errorf("%d headers come through as %d: %v", len(many), len(datum.Headers), err)
	}
}

// Texts that come from programs and brokers may be any bytes: they cost a module in Rust no instance, with all that it
// remembers.
func TestTextThatIsNoneTrapsNoGuestInRust(t *testing.T) {
	odd := "t\xff"
	sends, err := sdk.ProducerInterceptors.New("wasm", settingsOf(t, rust(t, "producer_interceptor"), map[string]string{"config.name": "shop"}))
	if err != nil {
		t.Fatal(err)
	}
	defer closeAgain(t, sends)
	sends.OnAck(sdk.RecordMetadata{TopicPartition: sdk.TopicPartition{Topic: odd}, Offset: 1}, errors.New("no \xff"))
	reads, err := sdk.ConsumerInterceptors.New("wasm", settingsOf(t, rust(t, "consumer_interceptor"), nil))
	if err != nil {
		t.Fatal(err)
	}
	defer closeAgain(t, reads)
	reads.OnCommit(map[sdk.TopicPartition]sdk.OffsetAndMetadata{{Topic: odd}: {Offset: 1, Metadata: "by \xff"}})
	chooses, err := sdk.Partitioners.New("wasm", settingsOf(t, rust(t, "partitioner"), nil))
	if err != nil {
		t.Fatal(err)
	}
	defer closeAgain(t, chooses)
	chooses.Partition(&sdk.Placement{Topic: odd, Partitions: 1})
	chooses.(sdk.BatchListener).OnNewBatch(odd, 0)
	deals, err := sdk.Assignors.New("wasm", settingsOf(t, rust(t, "assignor"), nil))
	if err != nil {
		t.Fatal(err)
	}
	defer closeAgain(t, deals)
	if data := deals.UserData([]string{odd}, nil); data != nil {
		t.Errorf("user data are %q", data)
	}
	if _, err := deals.Assign([]sdk.GroupMember{{ID: odd, Topics: []string{"t"}}}, map[string]int32{"t": 1}); !errors.Is(err, ErrGuest) || !strings.Contains(err.Error(), "not UTF-8") {
		t.Errorf("a member %q: %v", odd, err)
	}
	for name, made := range map[string]any{"producer interceptor": sends, "consumer interceptor": reads, "partitioner": chooses} {
		if n := made.(interface{ Faults() int64 }).Faults(); n != 0 {
			t.Errorf("the %s failed %d times", name, n)
		}
	}
}
