"""Speech quality of our playout against baresip's, both fed with the same packets: `make quality`.

`sidetone bench playout` encodes the speech of fixtures/, impairs it by a seed and hands the packets that are left either
to our own media session in virtual time, or to a phone in real time. What each makes of them is compared with what was
said, by PESQ (ITU-T P.862; P.862.2 for Opus) and PLCMOS v2 (no reference).

baresip 1.0.0 cannot record what it plays, but its aubridge device hands what the sound card would get to its microphone.
Its echo of PCMU is the very samples again; the echo of Opus is coded once more at 256 kbit/s, and so is ours. Several
jitter buffers of baresip are tried, its packet loss concealment loaded: in each cell the best of them counts.
"""

import argparse
import concurrent.futures
import json
import os
import re
import socket
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy
import scipy.signal
import soundfile
from pesq import NoUtterancesError, pesq

ROOT = Path(__file__).resolve().parent.parent
SPEECH = ["caller", "reader", "answerer", "traveller"]
RATE = 16_000  # of the fixtures, of PLCMOS and of wideband PESQ
GAP = 0.6  # seconds before each utterance
ECHO_BITRATE = 256_000
# Name, recipe of `sidetone bench impair`, ppm of drift. Bursts are three packets long in the mean.
CONDITIONS = [("clean", "delay=40", 0)]
CONDITIONS += [(f"loss {p} %", f"delay=40 loss={p}%", 0) for p in (1, 3, 5, 10)]
CONDITIONS += [(f"bursts {p} %", f"delay=40 gilbert-elliott={p / 300 / (1 - p / 100):.5f},0.3333", 0) for p in (1, 3, 5, 10)]
CONDITIONS += [(f"jitter {ms} ms", f"delay=40 jitter=normal:{ms}", 0) for ms in (20, 50, 100)]
CONDITIONS += [("reordering", "delay=40 reorder=5%", 0), ("drift 200 ppm", "delay=40", 200)]
# Repetitions of the speech: a drift of 200 ppm takes 100 s to make a packet.
ROUNDS = {"drift 200 ppm": 4}
CODECS = {"pcmu": ("pcmu/8000/1", 8_000, "nb"), "opus": ("opus/48000/2", 48_000, "wb")}
# jitter_buffer_delay in packets (its default is 5-10; 1.0.0 knows no adaptive one), audio_buffer in ms.
BARESIPS = {"5-10 packets": ("5-10", "20-160"), "10-20 packets": ("10-20", "20-160"), "15-30 packets": ("15-30", "40-320")}
# A packet that the machine sent so much later than its time, ms, spoils a recording.
LATE = 5.0
# What nobody hears: differences of the median below this are a tie.
TIE = {"pesq": 0.02, "plcmos": 0.03}


def parse():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sidetone", default=ROOT / "target/release/sidetone", type=Path)
    parser.add_argument("--work", default=ROOT / "target/quality", type=Path, help="where sound and scores are put")
    parser.add_argument("--seeds", default=2, type=int, help="runs of each cell; each has four utterances")
    parser.add_argument("--only", default="", help="conditions whose name this regular expression finds")
    parser.add_argument("--codec", choices=CODECS, action="append", help="only these")
    parser.add_argument("--ours", action="store_true", help="only our side: seconds in place of minutes; baresip's last scores are shown")
    parser.add_argument("--real", action="store_true", help="our echo in real time, too")
    parser.add_argument("--jobs", default=24, type=int, help="phones at once")
    return parser.parse_args()


def utterances():
    """Each utterance, and all of them one after the other with their places (samples)."""
    said, places, whole = {}, [], numpy.zeros(0)
    for name in SPEECH:
        audio, rate = soundfile.read(ROOT / f"fixtures/{name}.wav")
        assert rate == RATE
        said[name] = audio
        whole = numpy.concatenate([whole, numpy.zeros(int(GAP * RATE))])
        places.append((name, len(whole)))
        whole = numpy.concatenate([whole, audio])
    return said, places, numpy.concatenate([whole, numpy.zeros(int(GAP * RATE))])


class Cell:
    """One codec, condition and seed."""

    def __init__(self, codec, condition, seed):
        self.codec, self.seed = codec, seed
        self.condition, self.recipe, self.drift = condition
        self.rounds = ROUNDS.get(self.condition, 1)

    def path(self, work, player):
        return work / re.sub(r"[^a-z0-9]+", "-", f"{self.codec} {self.condition} {self.seed} {player}").__add__(".wav")

    def arguments(self, work, out):
        return ["bench", "playout", str(work / f"said-{self.rounds}.wav"), "--out", str(out), "--codec", self.codec,
                "--impair", self.recipe, "--drift", str(self.drift), "--seed", str(self.seed)]


def hurry(process):
    """Before others on a busy machine, where that is allowed. Not before the call: what starts takes long."""
    subprocess.run(["chrt", "-f", "-a", "-p", "10", str(process.pid)], capture_output=True, check=False)


def free_port(ip):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind((ip, 0))
        return probe.getsockname()[1]


class Baresip:
    """One that answers and echoes."""

    def __init__(self, number, codec, kind):
        name, rate, _ = CODECS[codec]
        delay, audio_buffer = BARESIPS[kind]
        self.home = tempfile.TemporaryDirectory(prefix="sidetone-quality-")
        ip = f"127.0.77.{1 + number % 250}"
        modules = next(str(path) for path in Path("/usr/lib").rglob("baresip/modules") if path.is_dir())
        self.port = free_port(ip)
        self.uri = f"sip:echo@{ip}:{self.port}"
        loaded = "".join(f"module {m}.so\n" for m in ("g711", "opus", "aubridge", "plc", "account", "menu"))
        (Path(self.home.name) / "config").write_text(
            f"poll_method epoll\nsip_listen {ip}:{self.port}\ncall_max_calls 1\naudio_player aubridge,echo\n"
            f"audio_source aubridge,echo\naudio_alert aubridge,silent\nausrc_srate {rate}\nauplay_srate {rate}\n"
            f"ausrc_channels 1\nauplay_channels 1\naudio_level no\nrtp_ports 20000-60000\nrtcp_mux no\n"
            f"jitter_buffer_delay {delay}\naudio_buffer {audio_buffer}\nmodule_path {modules}\n"
            f"{loaded}net_interface {ip}\nopus_bitrate {ECHO_BITRATE}\nopus_stereo no\nopus_sprop_stereo no\n"
            f"opus_inbandfec yes\nopus_application audio\n")
        (Path(self.home.name) / "accounts").write_text(
            f"<sip:echo@{ip}:{self.port}>;regint=0;answermode=auto;audio_codecs={name}\n")
        (Path(self.home.name) / "contacts").write_text("")
        self.process = subprocess.Popen(["baresip", "-f", self.home.name], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        for line in self.process.stdout:
            if b"baresip is ready" in line:
                break
        else:
            raise RuntimeError("baresip does not start")

    def end(self):
        self.process.terminate()
        try:
            self.process.wait(3)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.home.cleanup()


class Ours:
    """Our own echo, in real time."""

    def __init__(self, number, sidetone):
        ip = f"127.0.78.{1 + number % 250}"
        command = [str(sidetone), "answer", "--no-register", "--bind", f"{ip}:{free_port(ip)}", "--source", "echo",
                   "--sink", "null", "--json"]
        self.home = tempfile.TemporaryDirectory(prefix="sidetone-quality-")
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.DEVNULL, cwd=self.home.name,
                                        env={**os.environ, "HOME": self.home.name})
        for line in self.process.stdout:
            event = json.loads(line)
            if event.get("event") == "phone.ready":
                self.uri = f"sip:echo@{event['address']}"
                break
        else:
            raise RuntimeError("sidetone does not start")

    end = Baresip.end


def play(options, number, cell, player):
    """Makes one recording; what `sidetone bench playout` says of it."""
    out = cell.path(options.work, player)
    command = [str(options.sidetone), *cell.arguments(options.work, out), "--json"]
    if player == "sidetone":
        done = subprocess.run([*command, "--echo-bitrate", str(ECHO_BITRATE)], capture_output=True, check=True)
        return json.loads(done.stdout.decode().splitlines()[-1])
    # A machine that was late fed something else: once more, and then it is told.
    for attempt in range(3):
        told = feed(options, number, cell, player, command)
        if told["sent_late_p999_ms"] < LATE:
            break
    return told


def feed(options, number, cell, player, command):
    phone = Ours(number, options.sidetone) if player == "sidetone live" else Baresip(number, cell.codec, player)
    try:
        caller = subprocess.Popen([*command, "--phone", phone.uri], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        said = []
        for line in caller.stdout:
            said.append(json.loads(line))
            if said[-1]["event"] == "playout.calling":
                hurry(caller)
                hurry(phone.process)
        if caller.wait():
            raise RuntimeError(f"{player}: {' '.join(command)}: {caller.stderr.read().decode()}")
        return said[-1]
    finally:
        phone.end()


def find(piece, audio):
    """Where `piece` is in `audio`, by correlation that looks at the sound rather than at its loudness."""
    spread = scipy.signal.fftconvolve(audio, piece[::-1], mode="valid")
    return int(numpy.argmax(numpy.abs(spread)))


def score(job):
    """PESQ and PLCMOS of every utterance in a recording."""
    from speechmos import plcmos

    path, codec, rounds = job
    said, places, whole = utterances()
    heard, rate = soundfile.read(path)
    heard = scipy.signal.resample_poly(heard, RATE, rate)
    scores = []
    # The first utterance tells where all are, but for what the playout adds and leaves out.
    reach = int(1.2 * RATE)
    for number in range(rounds):
        for name, place in places:
            piece = said[name]
            at = number * len(whole) + place
            begin = max(0, at - reach)
            window = heard[begin:at + len(piece) + 2 * reach]
            if len(window) < len(piece):
                continue
            found = begin + find(piece, window)
            part = heard[max(0, found - RATE // 5):found + len(piece) + RATE // 5].astype("float32")
            try:
                if codec == "pcmu":
                    down = lambda audio: scipy.signal.resample_poly(audio, 1, 2)
                    quality = pesq(8_000, down(piece), down(part), "nb")
                else:
                    quality = pesq(16_000, piece, part, "wb")
            except NoUtterancesError:
                quality = 1.0
            mos = plcmos.run(numpy.clip(part, -1, 1), RATE)["plcmos"]
            scores.append({"utterance": name, "pesq": float(quality), "plcmos": float(mos)})
    return scores


def main():
    options = parse()
    options.work.mkdir(parents=True, exist_ok=True)
    _, _, whole = utterances()
    for rounds in {1, *ROUNDS.values()}:
        soundfile.write(options.work / f"said-{rounds}.wav", numpy.tile(whole, rounds), RATE, subtype="PCM_16")
    cells = [Cell(codec, condition, seed) for codec in options.codec or CODECS for condition in CONDITIONS
             if re.search(options.only, condition[0]) for seed in range(1, options.seeds + 1)]
    live = ([] if options.ours else list(BARESIPS)) + (["sidetone live"] if options.real else [])
    store = options.work / "scores.json"
    scores = json.loads(store.read_text()) if store.exists() else {}
    # Long ones first.
    jobs = sorted([(cell, player) for cell in cells for player in live], key=lambda job: -job[0].rounds)
    print(f"{len(cells)} cells; {len(jobs)} recordings in real time, {options.jobs} at once; load {os.getloadavg()[0]:.1f}",
          flush=True)
    late, spoilt, key = [], set(), lambda cell, player: f"{cell.codec}/{cell.condition}/{cell.seed}/{player}"
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        running = {pool.submit(play, options, number, *job): job for number, job in enumerate(jobs)}
        for done in concurrent.futures.as_completed(running):
            late.append(done.result()["sent_late_p999_ms"])
            if late[-1] >= LATE:
                spoilt.add(key(*running[done]))
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda cell: play(options, 0, cell, "sidetone"), cells))
    if late:
        print(f"packets were sent {statistics.median(late):.1f} ms late (99.9 %, median of calls), {max(late):.1f} in the worst call; "
              f"{len(spoilt)} calls above {LATE:.0f} ms after three attempts, which do not count")
    work = [(cell, player) for cell in cells for player in [*live, "sidetone"]]
    with concurrent.futures.ProcessPoolExecutor(2) as pool:
        results = pool.map(score, [(cell.path(options.work, player), cell.codec, cell.rounds) for cell, player in work])
        for (cell, player), result in zip(work, results):
            # What was fed late is not what was meant.
            scores[key(cell, player)] = [] if key(cell, player) in spoilt else result
    store.write_text(json.dumps(scores, indent=1))
    sys.exit(table(cells, scores, bool(live)))


def table(cells, scores, compared):
    """Prints medians of each cell; 1 where baresip's best buffer is better than ours, 2 where one was to be measured and
    was not."""
    lost = won = missing = 0
    print(f"\n{'':22}{'PESQ':^38}{'PLCMOS':^38}")
    print(f"{'':22}{'ours':>8}{'baresip':>9}  {'its buffer':14}{'':5}{'ours':>8}{'baresip':>9}  {'its buffer':14}")
    for codec, condition in dict.fromkeys((cell.codec, cell.condition) for cell in cells):
        row = f"{codec:5}{condition:17}"
        seeds = [cell.seed for cell in cells if (cell.codec, cell.condition) == (codec, condition)]

        def median(player, metric):
            found = [s[metric] for seed in seeds for s in scores.get(f"{codec}/{condition}/{seed}/{player}", [])]
            return statistics.median(found) if found else float("nan")

        for metric in TIE:
            ours = median("sidetone", metric)
            best = max(BARESIPS, key=lambda player: numpy.nan_to_num(median(player, metric), nan=-1))
            theirs = median(best, metric)
            verdict = "=" if abs(ours - theirs) <= TIE[metric] else "+" if ours > theirs else "-" if ours < theirs else "?"
            won, lost, missing = won + (verdict == "+"), lost + (verdict == "-"), missing + (verdict == "?")
            row += f"{ours:8.2f}{theirs:9.2f}  {best:14}{verdict:5}"
        real = [median("sidetone live", metric) for metric in TIE]
        print(row + ("" if numpy.isnan(real[0]) else f" (in real time {real[0]:.2f}, {real[1]:.2f})"))
    print("\nPESQ narrowband for PCMU, wideband for Opus; medians; + ours is better, = within "
          f"{TIE['pesq']} (PLCMOS {TIE['plcmos']}), - baresip's is, ? not measured")
    if not compared:
        return 0
    total = 2 * len(set((cell.codec, cell.condition) for cell in cells))
    print(f"better in {won}, worse in {lost}, not measured in {missing} of {total}")
    return 1 if lost else 2 if missing else 0


if __name__ == "__main__":
    main()
