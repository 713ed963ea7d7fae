#!/usr/bin/env python3
"""Writes tokenizer/: a small byte-level BPE vocabulary, and what Hugging Face's tokenizers makes of awkward texts.

    python3 tests/golden/make_tokenizer_golden.py        # needs tokenizers and tiktoken; the tests that read the files do not

tokenizer/corpus.txt is what the vocabulary is learnt from by BpeTrainer. It is committed, since the texts
that it was taken from (this repository's, and lines in several languages) change.

tokenizer/golden.json has the token ids of texts, as hexadecimal bytes. The library takes valid UTF-8 only; of bytes that
are none, the convention is that they are words of their own, run by run, so those runs are given to its BPE as such.
OpenAI's tiktoken, asked about the same texts, has to give the same ids.
"""
import json
import os
import random
import unicodedata

import tiktoken
from tokenizers import Tokenizer, __version__, decoders, models, pre_tokenizers, trainers

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "tokenizer")
VOCAB_SIZE = 1000
END_OF_TEXT = "<|endoftext|>"

TEXTS = [
    "", " ", "a", "\n", "Hello, world!", " leading space", "trailing space ", "two  spaces   three    four",
    "tabs\t\tand\r\nreturns\r\n\r\n  indented\n\n\n", "   \n   x", "x   ", "\u00a0no\u00a0break\u00a0 spaces",
    "\u3000ideographic\u3000space \u2003em\u2028line\u2029paragraph\u0085next", "\u180ethe Mongolian vowel separator",
    "zero\u200bwidth\ufeffspace", "I'm you're he's we'll they've I'd don't", "I'M YOU'RE HE'S 'tis ''s 's's 'll' 'x",
    "it\u2019s a curly one", "don'tcan'twon't", "rock'n'roll", "12345 1,234.5 3.14e-10 0x7fff 1st 2nd x1y2z3",
    "\u0661\u0662\u0663 \u00b2\u00b3 \u2160\u2161 \u00bd", "caf\u00e9 na\u00efve \u0130stanbul stra\u00dfe", "e\u0301 combining",
    "\u4f60\u597d\uff0c\u4e16\u754c\u3002", "\u3053\u3093\u306b\u3061\u306f\u4e16\u754c", "\uc548\ub155 \uc138\uacc4",
    "\u041f\u0440\u0438\u0432\u0435\u0442, \u043c\u0438\u0440", "\u0645\u0631\u062d\u0628\u0627", "\u0928\u092e\u0938\u094d\u0924\u0947",
    "\U0001f600", "\U0001f468\u200d\U0001f469\u200d\U0001f467 family, \U0001f1e9\U0001f1ea flag, \u2764\ufe0f \U0001f44d\U0001f3fd",
    "\U00020000\U0010ffff\ue000", "\x00\x01\x1f\x7f", END_OF_TEXT, "a" + END_OF_TEXT + "b", "<|endof", "#version: 0.2",
    "for (int i = 0; i < n; ++i) {\n    x[i] += y[i] * 2.0f;  // comment\n}\n",
    "template <class T>\nstatic inline T* get(const std::vector<T>& v) { return v.data(); }\n",
    "def f(x):\n\tif x is None:\n\t\treturn 'none'\n\n    return f\"{x!r}\"\n", "https://example.org/a_b?c=d&e=%20#f",
    "-" * 80, "=" * 33, "a" * 300, "ab" * 100, " " * 257, "\n" * 50, "aaaa " * 20, "!?" * 40, "........ ... .. .",
    "\u2603 snow\u2603man \u2603\u2603", "\u00a9\u00ae\u2122 \u20ac5 \u00a32 \u00a5", "\ufffd replacement",
]

BROKEN = [
    b"\xff", b"abc\xffdef", b"\x80\x81 mid \xfe\xff\n", b"cut off \xe2\x82", b"\xe2\x82z", b"\xf0\x9f\x98 \xf0\x9f\x98\x80",
    b"\xc0\xaf overlong \xe0\x80\xaf", b"\xed\xa0\x80 surrogate", b"\xf4\x90\x80\x80 too large", b"  \xff  x", b"a \xff'\xffs",
    bytes(range(256)), bytes(range(255, -1, -1)), "caf\u00e9 latin-1: ".encode() + b"caf\xe9",
]


# Where the pieces of words end depends on letters, numbers, white space and apostrophes, and on what is beside them.
AWKWARD = [
    " ", "  ", "\t", "\n", "\r\n", "\x0b", "\x0c", "\x85", "\xa0", "\u1680", "\u2003", "\u2028", "\u202f", "\u3000", "\u200b", "\ufeff",
    "'", "'s", "'t", "'re", "'ve", "'ll", "'m", "'d", "'S", "\u2019", "a", "Z", "the", " the", "\u00e9", "e\u0301", "\u00df", "\u0416",
    "0", "12", "\u0663", "\u00b2", "\u2167", "\u00bd", "\u4e2d", "\u3042", "\ud55c", "\u0645", "\u0915\u094d", "\u0e01\u0e33", "\U00020000",
    "\U0001f600", "\U0001f469\u200d\U0001f4bb", "\U0001f1e9\U0001f1ea", "\u2764\ufe0f", "\U0001f44d\U0001f3fd", "{", "}", "();", "->", "_", "#",
    "\x00", "\x7f", "\ufffd", "\ue000", "\U0010ffff",
]


def random_texts(count):
    """Awkward pieces in random order, some characters of all of Unicode among them."""
    generator = random.Random(20)
    # Those of an old Unicode: the newest are letters to one library and nothing to another.
    category = unicodedata.ucd_3_2_0.category
    characters = [chr(c) for c in range(0x110000) if category(chr(c)) not in ("Cn", "Cs")]
    texts = []
    for _ in range(count):
        pieces = generator.choices(AWKWARD, k=generator.randint(2, 25)) + generator.choices(characters, k=3)
        generator.shuffle(pieces)
        texts.append("".join(pieces))
    return texts


def train(corpus):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB_SIZE,
        min_frequency=2,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    # As one text: given a file, the library would cut it into lines, and white space at their ends.
    tokenizer.train_from_iterator([corpus], trainer)
    return tokenizer


def byte_characters():
    """GPT-2's characters for bytes, by trying: the pre-tokenizer writes a character's UTF-8 in them."""
    characters = {}
    level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    for code_point in [*range(0xD800), *range(0xE000, 0x110000, 0x1000)]:
        character = chr(code_point)
        mapped = "".join(piece for piece, _ in level.pre_tokenize_str(character))
        characters.update(zip(character.encode(), mapped))
    # UTF-8 has no place for the rest; what stands for them is printed Latin-1, that is, themselves.
    for byte in range(256):
        characters.setdefault(byte, chr(byte))
    return characters


def encode(tokenizer, text, characters):
    ids = []

    def ordinary(part):
        # Without the step before it, which finds special tokens in the text.
        for piece, _ in tokenizer.pre_tokenizer.pre_tokenize_str(part):
            ids.extend(token.id for token in tokenizer.model.tokenize(piece))

    run = bytearray()
    valid = ""

    def flush():
        nonlocal valid
        ordinary(valid)
        valid = ""
        if run:
            ids.extend(token.id for token in tokenizer.model.tokenize("".join(characters[b] for b in run)))
            run.clear()

    for character in text.decode("utf-8", errors="surrogateescape"):
        if 0xDC80 <= ord(character) <= 0xDCFF:
            if valid:
                ordinary(valid)
                valid = ""
            run.append(ord(character) - 0xDC00)
        else:
            if run:
                flush()
            valid += character
    flush()
    return ids


def tiktoken_of(tokenizer, characters):
    """The same vocabulary in OpenAI's implementation, where the id of a token is its rank, too."""
    bytes_of = {character: byte for byte, character in characters.items()}
    ranks = {bytes(map(bytes_of.get, token)): id for token, id in tokenizer.get_vocab().items() if token != END_OF_TEXT}
    pattern = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
    return tiktoken.Encoding("golden", pat_str=pattern, mergeable_ranks=ranks, special_tokens={END_OF_TEXT: 0})


def main():
    corpus = open(os.path.join(FOLDER, "corpus.txt"), "rb").read()
    tokenizer = train(corpus.decode())
    tokenizer.model.save(FOLDER)  # vocab.json and merges.txt
    tokenizer.save(os.path.join(FOLDER, "tokenizer.json"), pretty=False)
    characters = byte_characters()
    assert len(set(characters.values())) == 256
    texts = TEXTS + random_texts(150)
    cases = [text.encode() for text in texts] + BROKEN
    cases.append(corpus)
    golden = [dict(text=text.hex(), ids=encode(tokenizer, text, characters)) for text in cases]
    golden[-1]["text"] = "corpus.txt"
    second = tiktoken_of(tokenizer, characters)
    for text, case in zip([*texts, corpus.decode()], golden[: len(texts)] + golden[-1:]):
        if END_OF_TEXT not in text:
            assert tokenizer.encode(text).ids == case["ids"], text
        assert second.encode(text, disallowed_special=()) == case["ids"], text
    path = os.path.join(FOLDER, "golden.json")
    with open(path, "w") as file:
        json.dump(golden, file, separators=(",", ":"))
        file.write("\n")
    print(f"wrote {path}, {os.path.getsize(path)} bytes, {len(cases)} texts, tokenizers {__version__}")


if __name__ == "__main__":
    main()
