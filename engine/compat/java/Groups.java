import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.SubscriptionPattern;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.CoordinatorNotAvailableException;
import org.apache.kafka.common.errors.FencedInstanceIdException;
import org.apache.kafka.common.errors.InvalidRegularExpression;
import org.apache.kafka.common.errors.UnreleasedInstanceIdException;
import org.apache.kafka.common.errors.WakeupException;

/** Consumers that share six partitions. */
final class Groups {
    private static final String RANGE = "org.apache.kafka.clients.consumer.RangeAssignor";
    private static final String COOPERATIVE = "org.apache.kafka.clients.consumer.CooperativeStickyAssignor";

    private Groups() {}

    /** A group, and what all its members read together. */
    static final class Crowd {
        final String topic;
        final String group;
        final Map<String, AtomicInteger> seen = new ConcurrentHashMap<>();
        final Map<String, AtomicInteger> revoked = new ConcurrentHashMap<>();
        final List<Exception> errors = new ArrayList<>();
        private final Map<String, Member> members = new HashMap<>();
        private final Object[] settings;

        Crowd(String what, Object... settings) throws Exception {
            topic = Compat.topic(what, 6);
            group = Compat.name(what);
            this.settings = settings;
        }

        Member join(String name, Object... more) {
            List<Object> all = new ArrayList<>(List.of("client.id", name, "group.id", group, "max.poll.records", 50, "retry.backoff.ms", 50));
            all.addAll(List.of(settings));
            all.addAll(List.of(more));
            if (!all.contains("group.protocol")) {
                all.addAll(List.of("heartbeat.interval.ms", 300)); // with the other protocol the broker says it
            }
            Member member = new Member(this, name, Compat.consumer(all.toArray()));
            members.put(name, member);
            member.start();
            return member;
        }

        void part(String name) throws Exception {
            Member member = members.remove(name);
            member.consumer.wakeup();
            member.join();
        }

        void end() throws Exception {
            for (String name : new HashSet<>(members.keySet())) {
                part(name);
            }
        }

        /** Waits until the group is stable with that many members, each with an even share; answers who has what. */
        Map<String, Set<TopicPartition>> assigned(int count) throws Exception {
            Map<String, Set<TopicPartition>> shares = Map.of();
            try (Admin admin = Compat.admin()) {
                for (int tries = 0; tries < 300; tries++) {
                    shares = shares(admin);
                    Set<TopicPartition> owned = new HashSet<>();
                    shares.values().forEach(owned::addAll);
                    if (shares.size() == count && owned.size() == 6 && shares.values().stream().allMatch(s -> s.size() == 6 / count)) {
                        return shares;
                    }
                    Thread.sleep(100);
                }
            }
            throw new AssertionError("the group did not settle with " + count + " members: " + shares + " " + errors);
        }

        private Map<String, Set<TopicPartition>> shares(Admin admin) throws Exception {
            Map<String, Set<TopicPartition>> shares = new HashMap<>();
            try {
                var described = admin.describeConsumerGroups(List.of(group)).all().get().get(group);
                if (described.groupState().toString().equals("Stable")) {
                    described.members().forEach(m -> shares.put(m.clientId(), m.assignment().topicPartitions()));
                }
            } catch (ExecutionException e) {
                if (!(e.getCause() instanceof CoordinatorNotAvailableException) && !(e.getCause() instanceof org.apache.kafka.common.errors.GroupIdNotFoundException)) {
                    throw e;
                }
            }
            return shares;
        }

        void write(int first, int count) throws Exception {
            try (var producer = Compat.producer("linger.ms", 5)) {
                for (int i = first; i < first + count; i++) {
                    producer.send(new ProducerRecord<>(topic, i % 6, null, Compat.bytes(String.valueOf(i))));
                }
                producer.flush();
            }
        }

        /** Waits until n different records were read, none of them twice. */
        void got(int n) throws Exception {
            for (int tries = 0; tries < 1500; tries++) {
                synchronized (errors) {
                    Compat.expect(errors.isEmpty(), "a member failed: %s", errors);
                }
                long twice = seen.values().stream().filter(times -> times.get() > 1).count();
                Compat.expect(twice == 0, "%d of %d records were read twice", twice, seen.size());
                if (seen.size() == n) {
                    return;
                }
                Thread.sleep(20);
            }
            throw new AssertionError("the group read " + seen.size() + " of " + n + " records");
        }
    }

    /** One consumer on a thread of its own. It commits what it read after each poll, and before it lets a partition go. */
    static final class Member extends Thread {
        private final Crowd crowd;
        final KafkaConsumer<byte[], byte[]> consumer;

        Member(Crowd crowd, String name, KafkaConsumer<byte[], byte[]> consumer) {
            super(name);
            setDaemon(true);
            this.crowd = crowd;
            this.consumer = consumer;
        }

        @Override
        public void run() {
            try (consumer) {
                consumer.subscribe(List.of(crowd.topic), new Listener());
                while (true) {
                    var records = consumer.poll(Duration.ofMillis(200));
                    records.forEach(r -> crowd.seen.computeIfAbsent(Compat.text(r.value()), none -> new AtomicInteger()).incrementAndGet());
                    if (!records.isEmpty()) {
                        consumer.commitSync();
                    }
                }
            } catch (WakeupException e) {
                // The end of a member that was asked to leave.
            } catch (RuntimeException e) {
                synchronized (crowd.errors) {
                    crowd.errors.add(e);
                }
            }
        }

        private final class Listener implements ConsumerRebalanceListener {
            @Override
            public void onPartitionsRevoked(Collection<TopicPartition> gone) {
                crowd.revoked.computeIfAbsent(getName(), none -> new AtomicInteger()).addAndGet(gone.size());
            }

            @Override
            public void onPartitionsAssigned(Collection<TopicPartition> come) {}
        }
    }

    private static void rebalances(Crowd crowd) throws Exception {
        crowd.write(0, 600);
        int joined = 0;
        for (String name : List.of("one", "two", "three")) {
            crowd.join(name);
            crowd.assigned(++joined);
        }
        crowd.write(600, 600);
        crowd.got(1200);
        crowd.part("two");
        crowd.assigned(2);
        crowd.write(1200, 600);
        crowd.got(1800);
    }

    static void group() throws Exception {
        Crowd crowd = new Crowd("group", "partition.assignment.strategy", RANGE);
        rebalances(crowd);
        crowd.end();
    }

    static void cooperative() throws Exception {
        Crowd crowd = new Crowd("cooperative", "partition.assignment.strategy", COOPERATIVE);
        rebalances(crowd);
        int lost = crowd.revoked.get("one").get();
        Compat.expect(lost <= 4, "the first member had %d partitions revoked, want 4 at most", lost);
        crowd.end();
    }

    private static final Object[] NEXT = {"group.protocol", "consumer"};

    /** KIP-848: the broker assigns, and members give up only what they have to. */
    static void consumerGroup() throws Exception {
        Crowd crowd = new Crowd("consumer-group", NEXT);
        rebalances(crowd);
        int lost = crowd.revoked.get("one").get();
        Compat.expect(lost <= 4, "the first member had %d partitions revoked, want 4 at most", lost);
        try (Admin admin = Compat.admin()) {
            var described = admin.describeConsumerGroups(List.of(crowd.group)).all().get().get(crowd.group);
            Compat.expect(described.type().toString().equals("Consumer") && described.partitionAssignor().equals("uniform"), "described as %s", described);
        }
        crowd.end();
    }

    static void consumerRange() throws Exception {
        Crowd crowd = new Crowd("consumer-range", "group.protocol", "consumer", "group.remote.assignor", "range");
        rebalances(crowd);
        crowd.end();
    }

    static void consumerStatic() throws Exception {
        Crowd crowd = new Crowd("consumer-static", NEXT);
        crowd.join("one", "group.instance.id", "one");
        crowd.assigned(1);
        crowd.join("two", "group.instance.id", "two");
        var before = crowd.assigned(2);
        int undisturbed = crowd.revoked.get("one").get();
        crowd.part("two");
        crowd.join("two", "group.instance.id", "two");
        crowd.write(0, 60);
        crowd.got(60);
        var after = crowd.assigned(2);
        Compat.expect(before.equals(after) && crowd.revoked.get("one").get() == undisturbed, "the return of a static member rebalanced the group: %s became %s", before, after);
        Member first = crowd.members.get("two");
        Member twin = crowd.join("two", "group.instance.id", "two");
        twin.join(30_000);
        synchronized (crowd.errors) {
            Compat.expect(crowd.errors.stream().anyMatch(UnreleasedInstanceIdException.class::isInstance), "the double was let in: %s", crowd.errors);
        }
        crowd.members.put("two", first);
        crowd.end();
    }

    /** Classic members and members of KIP-848 in one group, from all of one kind to all of the other and back. */
    static void consumerMigrate() throws Exception {
        Crowd crowd = new Crowd("consumer-migrate");
        Object[] classic = {"partition.assignment.strategy", COOPERATIVE};
        crowd.write(0, 600);
        crowd.join("one", classic);
        crowd.join("two", classic);
        crowd.assigned(2);
        crowd.join("three", NEXT);
        crowd.assigned(3);
        crowd.write(600, 600);
        crowd.got(1200);
        crowd.part("one");
        crowd.part("two");
        crowd.join("four", NEXT);
        crowd.assigned(2);
        crowd.join("five", classic);
        crowd.assigned(3);
        crowd.write(1200, 600);
        crowd.got(1800);
        crowd.part("three");
        crowd.part("four");
        crowd.assigned(1);
        crowd.write(1800, 600);
        crowd.got(2400);
        crowd.end();
    }

    /** A pattern that the broker matches. */
    static void consumerPattern() throws Exception {
        String first = Compat.topic("consumer-pattern-1", 1);
        Compat.numbered(first, 0, 0, 10);
        try (var consumer = Compat.consumer("group.id", Compat.name("consumer-pattern"), "group.protocol", "consumer")) {
            consumer.subscribe(new SubscriptionPattern(Compat.name("consumer-pattern-") + "[0-9]+"));
            Compat.read(consumer, 10);
            consumer.commitSync();
            String second = Compat.topic("consumer-pattern-2", 1);
            Compat.numbered(second, 0, 0, 10);
            Compat.expect(Compat.read(consumer, 10).get(0).topic().equals(second), "the new topic was not found");
        }
        try (var consumer = Compat.consumer("group.id", Compat.name("consumer-pattern-bad"), "group.protocol", "consumer")) {
            consumer.subscribe(new SubscriptionPattern("a["));
            for (int tries = 0; tries < 100; tries++) {
                consumer.poll(Duration.ofMillis(100));
            }
            throw new AssertionError("a pattern that is none was taken");
        } catch (InvalidRegularExpression e) {
            // As it should be.
        }
    }

    static void staticMember() throws Exception {
        Crowd crowd = new Crowd("static", "partition.assignment.strategy", RANGE, "session.timeout.ms", 30000);
        crowd.join("one", "group.instance.id", "one");
        crowd.assigned(1);
        crowd.join("two", "group.instance.id", "two");
        var before = crowd.assigned(2);
        int undisturbed = crowd.revoked.get("one").get();
        crowd.part("two");
        Member old = crowd.join("two", "group.instance.id", "two");
        crowd.write(0, 60);
        crowd.got(60);
        var after = crowd.assigned(2);
        Compat.expect(before.equals(after) && crowd.revoked.get("one").get() == undisturbed, "the return of a static member rebalanced the group: %s became %s", before, after);
        crowd.join("two", "group.instance.id", "two");
        old.join(30_000);
        synchronized (crowd.errors) {
            Compat.expect(crowd.errors.stream().anyMatch(FencedInstanceIdException.class::isInstance), "the double did not fence the first: %s", crowd.errors);
        }
        crowd.end();
    }
}
