"""Drives a broker with librdkafka through confluent-kafka and reports in the lines that package report of the driver
declares. The driver says in the environment where the broker is, how topics shall be called and which checks to run."""

import functools
import json
import os
import random
import re
import sys
import threading
import time

from confluent_kafka import (
    OFFSET_BEGINNING, OFFSET_END, ConsumerGroupState, ConsumerGroupTopicPartitions, Consumer, KafkaError,
    KafkaException, Producer, TopicCollection, TopicPartition,
)
from confluent_kafka.admin import (
    AclBinding, AclBindingFilter, AclOperation, AclPermissionType, AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ConfigSource, NewPartitions, NewTopic, OffsetSpec,
    ResourcePatternType, ResourceType,
)

BOOTSTRAP = os.environ["COMPAT_BOOTSTRAP"]
DROPS = os.environ.get("COMPAT_DROPS", "")
FOREIGN = os.environ["COMPAT_FOREIGN"]
ONLY = re.compile("(" + (os.environ.get("COMPAT_ONLY") or ".*") + ")$")
FOREIGN_BASE = 1_700_000_000_000
BASE = int(time.time() * 1000) - 3_600_000  # young enough for retention
LIMIT = 60


def name(what):
    """A topic or group of this run."""
    return os.environ["COMPAT_PREFIX"] + "-" + what


def settings(**more):
    all_ = {
        "bootstrap.servers": BOOTSTRAP, "reconnect.backoff.ms": 20, "reconnect.backoff.max.ms": 100,
        "topic.metadata.refresh.fast.interval.ms": 50, "log_level": 0,
    }
    all_.update({key.replace("_", "."): value for key, value in more.items()})
    return all_


@functools.cache
def admin(bootstrap=None):
    """One for each broker: a client that is let go takes its unanswered calls with it."""
    return AdminClient(settings(bootstrap_servers=bootstrap or BOOTSTRAP))


def producer(**more):
    more.setdefault("linger_ms", 5)
    return Producer(settings(**more))


def consumer(**more):
    more.setdefault("group_id", name("nobody"))
    more.setdefault("auto_offset_reset", "earliest")
    more.setdefault("enable_auto_commit", False)
    more.setdefault("fetch_wait_max_ms", 100)
    return Consumer(settings(**more))


def expect(true, otherwise):
    if not true:
        raise AssertionError(otherwise)


def refused(code, doing, future):
    """Expects an admin call to fail with one of the protocol's errors."""
    try:
        future.result(20)
    except KafkaException as e:
        expect(e.args[0].code() == code, f"{doing}: {e.args[0]}, want error {code}")
        return
    raise AssertionError(f"{doing}: no error, want {code}")


def topic(what, partitions=1, bootstrap=None):
    [made] = admin(bootstrap).create_topics([NewTopic(name(what), partitions, 1)]).values()
    made.result(20)
    led(name(what), partitions, bootstrap)
    return name(what)


def led(where, count, bootstrap=None):
    """Waits until every partition of a topic has a leader."""
    def ask():
        found = admin(bootstrap).list_topics(where, timeout=10).topics[where]
        expect(found.error is None and len(found.partitions) == count, f"{where} has {len(found.partitions)} partitions, want {count}: {found.error}")
        expect(all(p.leader >= 0 for p in found.partitions.values()), f"{where} has no leader")
    eventually(ask)


def eventually(ask):
    """Asks until the answer is right, or for ten seconds. A cluster tells its brokers of a change after it acknowledged
    it, so a question that follows at once may get the old answer."""
    end = time.monotonic() + 10
    while True:
        try:
            return ask()
        except (AssertionError, KafkaException):
            if time.monotonic() > end:
                raise
        time.sleep(0.05)


def send(where, records, partition=0, **more):
    """Produces (key, value, headers, timestamp) and waits for every acknowledgement."""
    failures = []
    p = producer(**more)

    def told(error, _):
        if error is not None:
            failures.append(error)

    for key, value, headers, timestamp in records:
        arguments = {"timestamp": timestamp} if timestamp else {}
        p.produce(where, value=value, key=key, partition=partition, headers=headers, on_delivery=told, **arguments)
        p.poll(0)
    left = p.flush(LIMIT)
    expect(left == 0 and not failures, f"{left} records unanswered, {len(failures)} failed: {failures[:1]}")


def numbered(where, partition, first, count):
    send(where, [(None, str(first + i).encode(), None, None) for i in range(count)], partition)


def read(c, n):
    """Polls until there are n records."""
    got = []
    end = time.monotonic() + LIMIT - 15
    while len(got) < n:
        message = c.poll(0.2)
        expect(time.monotonic() < end, f"read {len(got)} of {n} records")
        if message is None:
            continue
        if message.error():
            if message.error().retriable() or message.error().code() in (KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN):
                continue
            raise AssertionError(f"read {len(got)} of {n} records: {message.error()}")
        got.append(message)
    return got


def read_all(where, partitions, n, bootstrap=None):
    c = consumer(bootstrap_servers=bootstrap or BOOTSTRAP)
    c.assign([TopicPartition(where, p, OFFSET_BEGINNING) for p in range(partitions)])
    got = read(c, n)
    c.close()
    return got


# --- records


def codec(which):
    noise = random.Random(7)
    values = []
    for i in range(500):
        size = noise.randrange(4096)
        values.append(noise.randbytes(size) if i % 2 == 0 else (f"line {i} of a log that repeats itself\n" * (size // 32)).encode())
    where = topic(which)
    send(where, [(f"key-{i % 17}".encode(), value, None, None) for i, value in enumerate(values)], compression_type=which)
    for i, message in enumerate(read_all(where, 1, len(values))):
        expect(message.key() == f"key-{i % 17}".encode() and message.offset() == i, f"record {i}: key {message.key()}, offset {message.offset()}")
        expect(message.value() == values[i], f"value {i} differs from what was sent")


def foreign():
    for i, message in enumerate(read_all(FOREIGN, 1, 500)):
        expect(message.key() == (None if i % 10 == 0 else f"key-{i % 7}".encode()), f"record {i}: key {message.key()}")
        expect(message.value() == (f"record-{i:06d}-" + "abcdefghij" * (i % 50)).encode(), f"value {i} differs")
        expect(message.headers() == [("number", str(i).encode())], f"record {i}: headers {message.headers()}")
        expect(message.timestamp()[1] == FOREIGN_BASE + i * 1000, f"record {i}: timestamp {message.timestamp()}")


def records():
    where = topic("records")
    headers = [("a", b"1"), ("a", b"2"), ("null", None), ("empty", b"")]
    sent = [(None, b"no key"), (b"no value", None), (b"", b""), (None, None)]
    send(where, [(key, value, headers, BASE + 123) for key, value in sent])
    for (key, value), message in zip(sent, read_all(where, 1, len(sent)), strict=True):
        expect(message.key() == key and message.value() == value, f"got {message.key()}={message.value()}, want {key}={value}")
        expect(message.headers() == headers, f"headers {message.headers()}")
        expect(message.timestamp()[1] == BASE + 123, f"timestamp {message.timestamp()}")


def large():
    where = topic("large")
    big = random.Random(3).randbytes(900_000)
    send(where, [(None, big, None, None)], message_max_bytes=10_000_000)
    try:
        send(where, [(None, random.Random(4).randbytes(2_000_000), None, None)], message_max_bytes=10_000_000)
    except AssertionError as e:
        expect("MSG_SIZE_TOO_LARGE" in str(e), str(e))
    else:
        raise AssertionError("2,000,000 bytes were accepted")
    expect(read_all(where, 1, 1)[0].value() == big, "the value differs")


def acks():
    where = topic("acks")
    for i, level in enumerate(["0", "1", "all"]):
        send(where, [(None, b"x", None, None)] * 100, acks=level)
        read_all(where, 1, 100 * (i + 1))


def autocreate():
    where = name("autocreate")
    send(where, [(None, str(i).encode(), None, None) for i in range(10)], allow_auto_create_topics=True)
    read_all(where, 1, 10)


def drops():
    """Every acknowledged record is there once and in order, although answers were lost on the way."""
    partitions, each = 3, 4000
    where = topic("drops", partitions, DROPS)
    acked, failures = {p: set() for p in range(partitions)}, []
    filling = b" " + b"x" * 240
    p = producer(bootstrap_servers=DROPS, enable_idempotence=True, batch_size=8192, retry_backoff_ms=10, retry_backoff_max_ms=50, linger_ms=2)

    def note(partition, number):
        def told(error, _):
            failures.append(error) if error else acked[partition].add(number)
        return told

    for i in range(each):
        for partition in range(partitions):
            p.produce(where, value=str(i).encode() + filling, partition=partition, on_delivery=note(partition, i))
        p.poll(0)
    expect(p.flush(LIMIT - 20) == 0, "some records were never answered")
    expect(not failures, f"{len(failures)} records failed: {failures[:1]}")
    due = dict.fromkeys(range(partitions), 0)
    for message in read_all(where, partitions, partitions * each, DROPS):
        number = int(message.value().split()[0])
        expect(number == due[message.partition()], f"partition {message.partition()}: record {number} where {due[message.partition()]} is due")
        due[message.partition()] += 1
    expect(all(len(a) == each for a in acked.values()), f"acknowledged {[len(a) for a in acked.values()]}")


# --- consume


def assign():
    where = topic("assign", 3)
    for p in range(3):
        numbered(where, p, 0, 100)
    read_all(where, 3, 300)
    c = consumer()
    c.assign([TopicPartition(where, 1, 90)])
    got = read(c, 10)
    expect(got[0].offset() == 90 and got[9].value() == b"99", f"from offset 90: began at {got[0].offset()}")
    c.assign([TopicPartition(where, 2, OFFSET_END)])
    number = 100
    while (message := c.poll(0.2)) is None:
        numbered(where, 2, number, 1)
        number += 1
    expect(message.error() is None and message.offset() >= 100, f"from the end: offset {message.offset()}")
    expect(c.get_watermark_offsets(TopicPartition(where, 1)) == (0, 100), "the watermarks are wrong")
    c.close()


def reset():
    where = topic("reset")
    numbered(where, 0, 0, 20)
    c = consumer()
    c.assign([TopicPartition(where, 0, 5000)])
    expect(read(c, 20)[0].offset() == 0, "did not begin at the start")
    c.close()


def by_time():
    where = topic("time")
    for first in range(0, 100, 25):
        send(where, [(None, str(i).encode(), None, BASE + i * 1000) for i in range(first, first + 25)], linger_ms=200)
    c = consumer()
    for at, wanted in {0: 0, 1: 1, 9_999: 10, 10_000: 10, 10_001: 11, 24_500: 25, 99_000: 99, 99_001: OFFSET_END, -5000: 0}.items():
        [found] = c.offsets_for_times([TopicPartition(where, 0, BASE + at)], 10)
        expect(found.offset == wanted, f"at {at:+d} ms: offset {found.offset}, want {wanted}")
    [found] = c.offsets_for_times([TopicPartition(where, 0, BASE + 59_500)], 10)
    c.assign([found])
    expect(read(c, 40)[0].value() == b"60", "did not begin with record 60")
    c.close()


def pause():
    where = topic("pause", 2)
    numbered(where, 0, 0, 50)
    numbered(where, 1, 0, 50)
    c = consumer()
    first = TopicPartition(where, 0, OFFSET_BEGINNING)
    c.assign([first, TopicPartition(where, 1, OFFSET_BEGINNING)])
    c.pause([first])
    expect({m.partition() for m in read(c, 50)} == {1}, "a record came from a paused partition")
    expect(c.poll(0.4) is None, "a record came from a paused partition")
    c.resume([first])
    read(c, 50)
    c.close()


def commit():
    where = topic("commit")
    numbered(where, 0, 0, 100)
    c = consumer(group_id=name("commit"))
    c.commit(offsets=[TopicPartition(where, 0, 40, metadata="forty, in words")], asynchronous=False)
    [kept] = c.committed([TopicPartition(where, 0)], 10)
    expect(kept.offset == 40 and kept.metadata == "forty, in words", f"committed {kept}")
    c.close()
    for first, count in ((40, 60), (100, 30)):
        if first == 100:
            numbered(where, 0, 100, 30)
        c = consumer(group_id=name("commit"))
        c.subscribe([where])
        expect(read(c, count)[0].value() == str(first).encode(), f"did not go on with record {first}")
        c.commit(asynchronous=False)
        c.close()


def pattern():
    first = topic("pattern-1")
    numbered(first, 0, 0, 10)
    c = consumer(group_id=name("pattern"), topic_metadata_refresh_interval_ms=500)
    c.subscribe(["^" + re.escape(name("pattern-")) + ".*"])
    read(c, 10)
    c.commit(asynchronous=False)
    second = topic("pattern-2")
    numbered(second, 0, 0, 10)
    expect(read(c, 10)[0].topic() == second, "the new topic was not found")
    c.close()


# --- groups


class Crowd:
    """A group of consumers on six partitions, and what all of them read together."""

    def __init__(self, what, **more):
        self.topic, self.group, self.settings = topic(what, 6), name(what), more
        self.lock = threading.Lock()
        self.seen, self.revoked, self.errors, self.members = {}, {}, [], {}

    def join(self, member, **more):
        stop = threading.Event()
        thread = threading.Thread(target=self.consume, args=(member, stop, more), daemon=True)
        self.members[member] = (thread, stop)
        thread.start()
        return thread

    def consume(self, member, stop, more):
        chosen = {**self.settings, **more}
        if "group_protocol" not in chosen:
            chosen["heartbeat_interval_ms"] = 300  # with the other protocol the broker says it
        c = consumer(group_id=self.group, client_id=member, **chosen)
        due = {}  # what was read and is not committed yet, by partition

        def commit():
            if not due:
                return
            try:
                c.commit(offsets=[TopicPartition(self.topic, p, o) for p, o in due.items()], asynchronous=False)
                due.clear()
            except KafkaException as e:  # the next round, or the revocation, commits what a rebalance kept from being committed
                if e.args[0].code() not in (KafkaError.REBALANCE_IN_PROGRESS, KafkaError.STALE_MEMBER_EPOCH):
                    raise

        def revoked(_, gone):
            commit()
            with self.lock:
                self.revoked[member] = self.revoked.get(member, 0) + len(gone)

        try:
            c.subscribe([self.topic], on_revoke=revoked)
            while not stop.is_set():
                for message in c.consume(50, 0.1):
                    if message.error():
                        raise KafkaException(message.error())
                    with self.lock:
                        self.seen[message.value()] = self.seen.get(message.value(), 0) + 1
                    due[message.partition()] = message.offset() + 1
                commit()
        except KafkaException as e:
            with self.lock:
                self.errors.append(e.args[0])
        finally:
            c.close()

    def part(self, member):
        thread, stop = self.members.pop(member)
        stop.set()
        thread.join(20)

    def end(self):
        for member in list(self.members):
            self.part(member)

    def assigned(self, count):
        """Waits until the group is stable with that many members, each with an even share; answers who has what."""
        a, end, shares = admin(), time.monotonic() + 30, {}
        while time.monotonic() < end:
            try:
                described = a.describe_consumer_groups([self.group])[self.group].result(20)
            except KafkaException as e:
                if e.args[0].code() not in (KafkaError.COORDINATOR_NOT_AVAILABLE, KafkaError.NOT_COORDINATOR, KafkaError.GROUP_ID_NOT_FOUND):
                    raise
                continue
            shares = {m.client_id: sorted(p.partition for p in m.assignment.topic_partitions) for m in described.members}
            owned = {p for share in shares.values() for p in share}
            if described.state == ConsumerGroupState.STABLE and len(shares) == count and len(owned) == 6 \
                    and all(len(share) == 6 // count for share in shares.values()):
                return shares
            time.sleep(0.1)
        raise AssertionError(f"the group did not settle with {count} members: {shares} {self.errors}")

    def write(self, first, count):
        for p in range(6):
            send(self.topic, [(None, str(first + i).encode(), None, None) for i in range(count) if i % 6 == p], p)

    def got(self, n):
        end = time.monotonic() + 30
        while True:
            with self.lock:
                twice = sum(times > 1 for times in self.seen.values())
                expect(not self.errors, f"a member failed: {self.errors}")
                expect(twice == 0, f"{twice} of {len(self.seen)} records were read twice")
                if len(self.seen) == n:
                    return
            expect(time.monotonic() < end, f"the group read {len(self.seen)} of {n} records")
            time.sleep(0.02)

    def rebalances(self):
        self.write(0, 600)
        for i, member in enumerate(["one", "two", "three"]):
            self.join(member)
            self.assigned(i + 1)
        self.write(600, 600)
        self.got(1200)
        self.part("two")
        self.assigned(2)
        self.write(1200, 600)
        self.got(1800)


def group():
    crowd = Crowd("group", partition_assignment_strategy="range")
    crowd.rebalances()
    crowd.end()


def cooperative():
    crowd = Crowd("cooperative", partition_assignment_strategy="cooperative-sticky")
    crowd.rebalances()
    expect(crowd.revoked["one"] <= 4, f"the first member had {crowd.revoked['one']} partitions revoked, want 4 at most")
    crowd.end()


def static():
    crowd = Crowd("static", partition_assignment_strategy="range", session_timeout_ms=30000)
    crowd.join("one", group_instance_id="one")
    crowd.assigned(1)
    crowd.join("two", group_instance_id="two")
    before = crowd.assigned(2)
    undisturbed = crowd.revoked.get("one")
    crowd.part("two")
    old = crowd.join("two", group_instance_id="two")
    crowd.write(0, 60)
    crowd.got(60)
    after = crowd.assigned(2)
    expect(before == after and crowd.revoked.get("one") == undisturbed, f"the return of a static member rebalanced the group: {before} became {after}")
    crowd.join("two", group_instance_id="two")
    old.join(30)
    expect(any(e.code() == KafkaError._FATAL and "fenced" in e.str() for e in crowd.errors), f"the double did not fence the first: {crowd.errors}")
    crowd.end()


def consumer_group():
    """KIP-848: the broker assigns, and members give up only what they have to."""
    crowd = Crowd("consumer-group", group_protocol="consumer")
    crowd.rebalances()
    expect(crowd.revoked["one"] <= 4, f"the first member had {crowd.revoked['one']} partitions revoked, want 4 at most")
    crowd.end()


def consumer_range():
    crowd = Crowd("consumer-range", group_protocol="consumer", group_remote_assignor="range")
    crowd.rebalances()
    crowd.end()


def consumer_static():
    crowd = Crowd("consumer-static", group_protocol="consumer")
    crowd.join("one", group_instance_id="one")
    crowd.assigned(1)
    crowd.join("two", group_instance_id="two")
    before = crowd.assigned(2)
    undisturbed = crowd.revoked.get("one")
    crowd.part("two")
    crowd.join("two", group_instance_id="two")
    crowd.write(0, 60)
    crowd.got(60)
    after = crowd.assigned(2)
    expect(before == after and crowd.revoked.get("one") == undisturbed, f"the return of a static member rebalanced the group: {before} became {after}")
    crowd.end()


def consumer_pattern():
    first = topic("consumer-pattern-1")
    numbered(first, 0, 0, 10)
    c = consumer(group_id=name("consumer-pattern"), group_protocol="consumer")
    c.subscribe(["^" + re.escape(name("consumer-pattern-")) + "[0-9]+"])
    read(c, 10)
    c.commit(asynchronous=False)
    second = topic("consumer-pattern-2")
    numbered(second, 0, 0, 10)
    expect(read(c, 10)[0].topic() == second, "the new topic was not found")
    c.close()


def consumer_migrate():
    """Classic members and members of KIP-848 in one group, from all of one kind to all of the other and back."""
    crowd = Crowd("consumer-migrate")
    classic = {"partition_assignment_strategy": "cooperative-sticky"}
    crowd.write(0, 600)
    crowd.join("one", **classic)
    crowd.join("two", **classic)
    crowd.assigned(2)
    crowd.join("three", group_protocol="consumer")
    crowd.assigned(3)
    crowd.write(600, 600)
    crowd.got(1200)
    crowd.part("one")
    crowd.part("two")
    crowd.assigned(1)
    crowd.join("four", **classic)
    crowd.assigned(2)
    crowd.part("three")
    crowd.assigned(1)
    crowd.write(1200, 600)
    crowd.got(1800)
    crowd.end()


# --- admin


def cluster():
    described = admin().describe_cluster(request_timeout=20).result(20)
    expect(described.cluster_id and len(described.nodes) == 1 and described.controller.id == described.nodes[0].id, f"described {described}")


def topics():
    a, where = admin(), name("topics")
    wanted = NewTopic(where, 3, 1, config={"retention.ms": "3600000"})
    a.create_topics([wanted], validate_only=True)[where].result(20)
    a.create_topics([wanted])[where].result(20)
    led(where, 3)
    for wrong, code in (
        (wanted, KafkaError.TOPIC_ALREADY_EXISTS), (NewTopic("not/a/name", 1, 1), KafkaError.TOPIC_EXCEPTION),
        (NewTopic(name("zero"), 0, 1), KafkaError.INVALID_PARTITIONS), (NewTopic(name("three"), 1, 3), KafkaError.INVALID_REPLICATION_FACTOR),
        (NewTopic(name("config"), 1, 1, config={"no.such": "1"}), KafkaError.INVALID_CONFIG),
    ):
        refused(code, f"create {wrong.topic}", a.create_topics([wrong])[wrong.topic])
    listed = a.list_topics(timeout=10).topics
    expect(len(listed[where].partitions) == 3 and listed[where].partitions[0].leader >= 0, f"listed {listed.get(where)}")
    described = a.describe_topics(TopicCollection([where]))[where].result(20)
    a.delete_topics([where])[where].result(20)
    refused(KafkaError.UNKNOWN_TOPIC_OR_PART, "delete again", a.delete_topics([where])[where])
    a.create_topics([wanted])[where].result(20)
    led(where, 3)
    again = a.describe_topics(TopicCollection([where]))[where].result(20)
    expect(str(again.topic_id) != str(described.topic_id), "the new topic has the old one's id")


def partitions():
    where, a = topic("partitions", 2), admin()
    a.create_partitions([NewPartitions(where, 5)])[where].result(20)
    led(where, 5)
    refused(KafkaError.INVALID_PARTITIONS, "to fewer partitions", a.create_partitions([NewPartitions(where, 3)])[where])
    numbered(where, 4, 0, 10)
    read_all(where, 5, 10)


def configs():
    a, resource = admin(), ConfigResource(ResourceType.TOPIC, topic("configs"))

    def value(wanted, source):
        eventually(lambda: has(wanted, source))

    def has(wanted, source):
        entry = a.describe_configs([resource])[resource].result(20)["retention.ms"]
        expect(entry.value == wanted and entry.source == source.value, f"retention.ms is {entry.value} from {entry.source}, want {wanted} from {source}")

    def alter(setting, text, operation):
        change = ConfigResource(resource.restype, resource.name)
        change.add_incremental_config(ConfigEntry(setting, text, incremental_operation=operation))
        return a.incremental_alter_configs([change])[change]

    value("604800000", ConfigSource.DEFAULT_CONFIG)
    alter("retention.ms", "1234567", AlterConfigOpType.SET).result(20)
    value("1234567", ConfigSource.DYNAMIC_TOPIC_CONFIG)
    refused(KafkaError.INVALID_CONFIG, "a value that is no number", alter("retention.ms", "soon", AlterConfigOpType.SET))
    alter("retention.ms", None, AlterConfigOpType.DELETE).result(20)
    value("604800000", ConfigSource.DEFAULT_CONFIG)
    node = ConfigResource(ResourceType.BROKER, str(next(iter(a.list_topics(timeout=10).brokers))))
    expect("log.dirs" in a.describe_configs([node])[node].result(20), "the broker's settings lack log.dirs")


def delete_records():
    where, a = topic("delete-records"), admin()
    numbered(where, 0, 0, 100)
    [deleted] = a.delete_records([TopicPartition(where, 0, 60)]).values()
    expect(deleted.result(20).low_watermark == 60, f"low watermark {deleted.result().low_watermark}")
    expect(read_all(where, 1, 40)[0].offset() == 60, "the first record is not 60")
    [deleted] = a.delete_records([TopicPartition(where, 0, 500)]).values()
    refused(KafkaError.OFFSET_OUT_OF_RANGE, "delete beyond the end", deleted)


def groups():
    crowd, a = Crowd("groups", partition_assignment_strategy="range"), admin()
    crowd.write(0, 60)
    crowd.join("member")
    crowd.assigned(1)
    crowd.got(60)
    listed = a.list_consumer_groups(states={ConsumerGroupState.STABLE}).result(20)
    expect(crowd.group in [g.group_id for g in listed.valid], "not listed")
    described = a.describe_consumer_groups([crowd.group])[crowd.group].result(20)
    expect(described.partition_assignor == "range" and "127.0.0.1" in described.members[0].host, f"described {described}")
    refused(KafkaError.NON_EMPTY_GROUP, "delete a group with a member", a.delete_consumer_groups([crowd.group])[crowd.group])
    crowd.end()
    a.delete_consumer_groups([crowd.group])[crowd.group].result(20)
    refused(KafkaError.GROUP_ID_NOT_FOUND, "delete again", a.delete_consumer_groups([crowd.group])[crowd.group])


def offset(where, spec):
    partition = TopicPartition(where, 0)
    return admin().list_offsets({partition: spec})[partition].result(20).offset


def offsets():
    where = topic("offsets")
    numbered(where, 0, 0, 100)
    found = offset(where, OffsetSpec.earliest()), offset(where, OffsetSpec.latest())
    expect(found == (0, 100), f"earliest and latest are {found}")


def max_time():
    where, now = topic("max-time"), int(time.time() * 1000)
    send(where, [(None, b"x", None, now + late) for late in (1000, 3000, 2000)], linger_ms=200)
    expect(offset(where, OffsetSpec.max_timestamp()) == 1, f"greatest timestamp at {offset(where, OffsetSpec.max_timestamp())}, want 1")


def group_offsets():
    where, a = topic("group-offsets", 2), admin()
    wanted = [TopicPartition(where, 0, 10), TopicPartition(where, 1, 11)]
    request = ConsumerGroupTopicPartitions(name("group-offsets"), wanted)
    altered = a.alter_consumer_group_offsets([request])[name("group-offsets")].result(20)
    expect(all(p.error is None for p in altered.topic_partitions), f"altered {altered.topic_partitions}")
    listed = a.list_consumer_group_offsets([ConsumerGroupTopicPartitions(name("group-offsets"))])[name("group-offsets")].result(20)
    found = {p.partition: p.offset for p in listed.topic_partitions}
    expect(found == {0: 10, 1: 11}, f"offsets {found}")


def acls():
    """A rule that denies, made, described and deleted; a producer is denied and allowed again while it is connected.
    Brokers of this suite allow everybody what no rule is about."""
    a, where, p = admin(), topic("acls"), producer()
    rule = AclBinding(ResourceType.TOPIC, where, ResourcePatternType.LITERAL, "User:ANONYMOUS", "*", AclOperation.WRITE, AclPermissionType.DENY)
    all_ = AclBindingFilter(ResourceType.TOPIC, where, ResourcePatternType.LITERAL, None, None, AclOperation.ANY, AclPermissionType.ANY)

    def produce():
        told = []
        p.produce(where, value=b"x", partition=0, on_delivery=lambda error, _: told.append(error))
        expect(p.flush(LIMIT) == 0 and len(told) == 1, f"told {told}")
        return told[0]

    def allowed():
        error = produce()
        expect(error is None, f"denied: {error}")

    def denied():
        error = produce()
        expect(error is not None and error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED, f"not denied: {error}")

    allowed()
    a.create_acls([rule])[rule].result(20)
    eventually(denied)
    found = a.describe_acls(all_).result(20)
    expect(found == [rule], f"described {found}")
    gone = a.delete_acls([all_])[all_].result(20)
    expect(gone == [rule], f"deleted {gone}")
    eventually(allowed)


# --- report


def check(what, run):
    if not ONLY.match(what):
        return
    report(what, "start")
    begin, wrong = time.monotonic(), []

    def guarded():
        try:
            run()
        except BaseException as e:  # whatever ends a check is its outcome
            wrong.append(f"{type(e).__name__}: {e}")

    thread = threading.Thread(target=guarded, daemon=True)
    thread.start()
    thread.join(LIMIT + 5)
    if thread.is_alive():
        wrong.append(f"no end within {LIMIT + 5} s")
    report(what, "fail" if wrong else "pass", time.monotonic() - begin, "; ".join(wrong))


def report(what, result, seconds=0.0, detail=""):
    print(json.dumps({"check": what, "result": result, "seconds": round(seconds, 3), "detail": detail}), flush=True)


# --- transactions


def transactional(what, **more):
    p = producer(transactional_id=name(what), **more)
    p.init_transactions(LIMIT)
    return p


def isolated(where, partitions, n, level):
    """The values of n records, as a reader of that isolation level sees them."""
    c = consumer(isolation_level=level)
    c.assign([TopicPartition(where, p, OFFSET_BEGINNING) for p in range(partitions)])
    got = [message.value().decode() for message in read(c, n)]
    c.close()
    return got


def transactions():
    where = topic("transactions", 2)
    p = transactional("transactions")
    for i in range(10):
        p.begin_transaction()
        for j in range(10):
            p.produce(where, value=f"{i}-{j}".encode(), partition=j % 2)
        p.flush(LIMIT)
        if i % 2 == 0:
            p.commit_transaction(LIMIT)
        else:
            p.abort_transaction(LIMIT)
    expect(len(isolated(where, 2, 100, "read_uncommitted")) == 100, "uncommitted")
    committed = set(isolated(where, 2, 50, "read_committed"))
    expect(committed == {f"{i}-{j}" for i in range(0, 10, 2) for j in range(10)}, f"committed are {sorted(committed)}")


def transform():
    """Consume, transform, produce, with the offsets in the transaction; each second try is aborted."""
    come, go = topic("transform-in", 2), topic("transform-out")
    numbered(come, 0, 0, 100)
    numbered(come, 1, 100, 100)
    p = transactional("transform")
    c = consumer(group_id=name("transform"), isolation_level="read_committed")
    c.subscribe([come])
    copied, tries, end = 0, 0, time.monotonic() + LIMIT - 15
    while copied < 200:
        expect(time.monotonic() < end, f"copied {copied} of 200")
        got = [message for message in c.consume(20, 0.3) if message.error() is None]
        if not got:
            continue
        p.begin_transaction()
        for message in got:
            p.produce(go, value=message.value())
        p.send_offsets_to_transaction(c.position(c.assignment()), c.consumer_group_metadata(), LIMIT)
        tries += 1
        if tries % 2 == 1:
            p.abort_transaction(LIMIT)
            for at in c.committed(c.assignment(), LIMIT):
                c.seek(TopicPartition(at.topic, at.partition, max(at.offset, 0)))
        else:
            p.commit_transaction(LIMIT)
            copied += len(got)
    c.close()
    expect(len(set(isolated(go, 1, 200, "read_committed"))) == 200, "not every value is there once")


def fencing():
    where = topic("fencing")
    zombie = transactional("fencing")
    zombie.begin_transaction()
    zombie.produce(where, value=b"zombie")
    zombie.flush(LIMIT)
    following = transactional("fencing")
    following.begin_transaction()
    following.produce(where, value=b"next")
    following.commit_transaction(LIMIT)
    try:
        zombie.commit_transaction(LIMIT)
        raise AssertionError("the first commits")
    except KafkaException as e:
        expect(e.args[0].fatal() or e.args[0].code() in (KafkaError._FENCED, KafkaError.INVALID_PRODUCER_EPOCH), f"the first commits: {e}")
    expect(isolated(where, 1, 1, "read_committed") == ["next"], "the wrong record is committed")


def main():
    for which in ("none", "gzip", "snappy", "lz4", "zstd"):
        check(which, lambda which=which: codec(which))
    for what, run in {
        "cluster": cluster, "foreign": foreign, "records": records, "large": large, "acks": acks, "autocreate": autocreate,
        "assign": assign, "reset": reset, "time": by_time, "pause": pause, "group": group, "cooperative": cooperative,
        "consumer-group": consumer_group, "consumer-range": consumer_range, "consumer-static": consumer_static,
        "consumer-pattern": consumer_pattern, "consumer-migrate": consumer_migrate,
        "static": static, "pattern": pattern, "commit": commit, "topics": topics, "partitions": partitions,
        "configs": configs, "delete-records": delete_records, "groups": groups, "offsets": offsets, "max-time": max_time,
        "group-offsets": group_offsets, "acls": acls, "drops": drops, "transactions": transactions, "transform": transform,
        "fencing": fencing,
    }.items():
        check(what, run)
    sys.stdout.flush()
    os._exit(0)  # a check that hangs must not keep the process


main()
