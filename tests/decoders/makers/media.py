"""Sound and film, by ffmpeg: 3 seconds of two sine tones, and 2 seconds of its test picture."""

from environment import output

RATE, SECONDS = 44100, 3
FRAMES, FRAME_RATE = 50, 25
TONES = f"aevalsrc=0.4*sin(2*PI*440*t)|0.3*sin(2*PI*660*t):s={RATE}:d={SECONDS}:c=stereo"
EXACT = ["-fflags", "+bitexact", "-flags", "+bitexact", "-map_metadata", "-1"]
SUBTITLES = "1\n00:00:00,200 --> 00:00:00,900\nThe lamp is lit\n\n2\n00:00:01,000 --> 00:00:01,800\nThe harbour sleeps\n"

# name: (arguments of ffmpeg, bits that survive: 0 for a lossy codec, samples a second)
SOUNDS = {
    "s16.wav": (["-c:a", "pcm_s16le"], 16, RATE),
    "s24.wav": (["-c:a", "pcm_s24le"], 24, RATE),
    "f32.wav": (["-c:a", "pcm_f32le"], 32, RATE),
    "rf64.wav": (["-c:a", "pcm_s16le", "-rf64", "always"], 16, RATE),
    "s16.aiff": (["-c:a", "pcm_s16be"], 16, RATE),
    "s16.flac": (["-c:a", "flac", "-sample_fmt", "s16"], 16, RATE),
    "lame.mp3": (["-c:a", "libmp3lame", "-b:a", "128k"], 0, RATE),
    "vorbis.ogg": (["-c:a", "libvorbis", "-q:a", "4"], 0, RATE),
    "sound.opus": (["-c:a", "libopus", "-b:a", "96k"], 0, 48000),
    "aac.m4a": (["-c:a", "aac", "-b:a", "128k"], 0, RATE),
    "alac.m4a": (["-c:a", "alac", "-sample_fmt", "s16p"], 16, RATE),
    "adts.aac": (["-c:a", "aac", "-b:a", "128k", "-f", "adts"], 0, RATE),
    "s16.caf": (["-c:a", "pcm_s16be"], 16, RATE),
    "sound.ac3": (["-c:a", "ac3", "-b:a", "192k"], 0, RATE),
    "sound.wma": (["-c:a", "wmav2", "-b:a", "128k"], 0, RATE),
    "s16.wv": (["-c:a", "wavpack", "-sample_fmt", "s16p"], 16, RATE),
}

# name: (arguments, has sound)
FILMS = {
    "h264.mp4": (["-c:v", "libx264", "-threads", "1", "-bf", "3", "-pix_fmt", "yuv420p", "-c:a", "aac"], True),
    "vp9.webm": (["-c:v", "libvpx-vp9", "-b:v", "200k", "-threads", "1", "-c:a", "libopus"], True),
    "mpeg4.avi": (["-c:v", "mpeg4", "-q:v", "4", "-c:a", "libmp3lame"], True),
    "silent.mp4": (["-c:v", "libx264", "-threads", "1", "-bf", "3", "-pix_fmt", "yuv420p", "-an"], False),
}


def ffmpeg(path, inputs, arguments):
    output("ffmpeg", "-nostdin", "-v", "error", "-y", *inputs, *arguments, *EXACT, path)


def film_inputs():
    picture = f"testsrc2=size=160x120:rate={FRAME_RATE}:duration={FRAMES // FRAME_RATE}"
    tones = TONES.replace(f"d={SECONDS}", f"d={FRAMES // FRAME_RATE}")
    return ["-f", "lavfi", "-i", picture, "-f", "lavfi", "-i", tones]


def with_subtitles(path):
    captions = path.with_suffix(".srt")
    captions.write_text(SUBTITLES)
    codecs = ["-c:v", "libx265", "-x265-params", "log-level=error:pools=1:frame-threads=1", "-bf", "3"]
    codecs += ["-pix_fmt", "yuv420p", "-c:a", "flac", "-c:s", "srt", "-map", "0", "-map", "1", "-map", "2"]
    try:
        ffmpeg(path, [*film_inputs(), "-i", captions], codecs)
    finally:
        captions.unlink()


def rotated(path):
    """The picture lies on its side in the file and the header says to turn it."""
    upright = path.with_suffix(".upright.mov")
    try:
        ffmpeg(upright, film_inputs(), ["-c:v", "libx264", "-threads", "1", "-pix_fmt", "yuv420p", "-c:a", "aac"])
        ffmpeg(path, ["-i", upright], ["-c", "copy", "-metadata:s:v:0", "rotate=90"])
    finally:
        upright.unlink()


def make(fixtures):
    for name, (arguments, bits, rate) in SOUNDS.items():
        facts = {"channels": 2, "rate": rate, "samples": rate * SECONDS, "bits": bits}
        maker = lambda path, arguments=arguments: ffmpeg(path, ["-f", "lavfi", "-i", TONES], arguments)
        fixtures.add(name, "audio", "audio", maker, **facts)
    size = {"frames": FRAMES, "width": 160, "height": 120}
    for name, (arguments, has_sound) in FILMS.items():
        maker = lambda path, arguments=arguments: ffmpeg(path, film_inputs(), arguments)
        fixtures.add(name, "video", "video", maker, **size, sound=has_sound)
    words = "The lamp is lit The harbour sleeps"
    fixtures.add("hevc.mkv", "video", "video", with_subtitles, **size, sound=True, subtitles=words)
    fixtures.add("rotated.mov", "video", "video", rotated, frames=FRAMES, width=120, height=160, sound=True)
