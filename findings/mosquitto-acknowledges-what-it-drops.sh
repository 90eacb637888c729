#!/usr/bin/env bash
# mosquitto 2.0.11 (Debian) with its default limits, mqtt.js 5.16.0: messages of QoS 1 are acknowledged to their publisher and then
# dropped for a subscriber that is connected all the time and has a persistent session.
#
# A subscriber holds its acknowledgements. 1,500 messages are published with QoS 1, and each is acknowledged. 20 are handed out
# (max_inflight_messages), 1,000 more wait for the subscriber (max_queued_messages), and 480 are gone. Neither side is told: no connection
# ends, no acknowledgement is missing, and a message published afterwards arrives as usual.
#
#	acknowledged to the publisher: 1500
#	arrived in the end: 1021, the last of them: after
#
# Needs Node.js, npm, and apt-get with package lists. Installs nothing: the package is unpacked into a temporary folder. Exits 1 if the
# behaviour is another one.
set -euo pipefail
dir=$(mktemp -d)
broker=
trap '[ -z "$broker" ] || kill "$broker"; rm -rf "$dir"' EXIT
cd "$dir"
packages=$(apt-get install --simulate --no-install-recommends mosquitto | sed -n 's/^Inst \([^ ]*\).*/\1/p')
apt-get -qq -o APT::Sandbox::User=root download $packages >/dev/null
for package in *.deb; do dpkg-deb -x "$package" tree; done
libraries=$(find "$dir/tree" -name '*.so*' -printf '%h\n' | sort -u | paste -sd:)
port=$((20000 + RANDOM % 10000))
printf 'listener %s 127.0.0.1\nallow_anonymous true\nuser root\n' "$port" >mosquitto.conf
LD_LIBRARY_PATH="$libraries" tree/usr/sbin/mosquitto -c mosquitto.conf >broker.log 2>&1 &
broker=$!
npm init -y >/dev/null
npm install --no-audit --no-fund --silent mqtt@5.16.0 >/dev/null
cat >run.mjs <<'JS'
import mqtt from 'mqtt';

const url = `mqtt://127.0.0.1:${process.argv[2]}`;
const until = async (so) => { while (!so()) await new Promise((resume) => setTimeout(resume, 20)); };

const got = [];
const held = [];
let hold = true;
const subscriber = mqtt.connect(url, { clientId: 'subscriber', clean: false });
subscriber.handleMessage = (packet, acknowledge) => {
  got.push(packet.payload.toString());
  if (hold) held.push(acknowledge); else acknowledge();
};
await subscriber.subscribeAsync('t', { qos: 1 });

const publisher = await mqtt.connectAsync(url, { clientId: 'publisher' });
let acknowledged = 0;
await Promise.all(Array.from({ length: 1500 }, async (_, i) => {
  await publisher.publishAsync('t', String(i), { qos: 1 });
  acknowledged++;
}));
console.log(`acknowledged to the publisher: ${acknowledged}`);
hold = false;
for (const acknowledge of held) acknowledge();
await until(() => got.length >= 1020);
await publisher.publishAsync('t', 'after', { qos: 1 });
await until(() => got.includes('after'));
console.log(`arrived in the end: ${got.length}, the last of them: ${got.at(-1)}`);
await publisher.endAsync();
await subscriber.endAsync();
JS
timeout 60 node run.mjs "$port" 2>err | tee out || { cat err broker.log; exit 1; }
diff - out <<'WANT'
acknowledged to the publisher: 1500
arrived in the end: 1021, the last of them: after
WANT
