"""From values and counters to the coefficients of a message, and back from their sum to the mean (PROTOCOL 3.4)."""

from math import ceil, sqrt

from .primes import SUM_DEGREE


def threshold(members):
    """t (PROTOCOL 3.2)."""
    return 2 if members <= 3 else 2 * members // 3 + 1


def min_contributors(members):
    """m_min (PROTOCOL 3.2)."""
    return threshold(members) + (1 if members >= 7 else 0)


def value_bits(field_bits, joined):
    """B = FIELD_BITS - ceil(log2 n)."""
    room = 0
    while 2**room < joined:
        room += 1
    return field_bits - room


def quantise(values, clips, weight, counters, field_bits, joined):
    """The fields of one hospital, and how many values and counters were cut off.

    `clips` is a list of (number of values, clip), `weight` (omega, omega_max), `counters` a list of (count, digits).
    """
    bits = value_bits(field_bits, joined)
    largest = 2 ** (bits - 1) - 1
    fields, cut_values, cut_counters, place = [], 0, 0, 0
    for length, clip in clips:
        step = clip / largest
        for value in values[place : place + length]:
            # Python rounds halves to even.
            steps = round((weight[0] / weight[1]) * value / step)
            cut_values += abs(steps) > largest
            fields.append(max(-largest, min(largest, steps)) + 2 ** (bits - 1))
        place += length
    for count, digits in counters:
        cut_counters += count >= 256**digits
        count = min(count, 256**digits - 1)
        fields += [count >> 8 * place & 0xFF for place in range(digits)]
    return fields, cut_values, cut_counters


def pack(fields, field_bits):
    """m_j[k] = sum over f of u[(j N + k) FIELDS + f] 2^(f FIELD_BITS), whole chunks with zeros at the end."""
    per_word = 48 // field_bits
    chunks = ceil(len(fields) / (per_word * SUM_DEGREE))
    fields = fields + [0] * (chunks * per_word * SUM_DEGREE - len(fields))
    words = []
    for place in range(0, len(fields), per_word):
        words.append(sum(field << k * field_bits for k, field in enumerate(fields[place : place + per_word])))
    return words


def unpack(words, field_bits):
    return [word >> shift & (2**field_bits - 1) for word in words for shift in range(0, 48, field_bits)]


def mean(sums, clips, contributors, largest_weight, weight_sum, bits):
    """step (sum of u - |U| 2^(B-1)) omega_max / (sum of omega over U), in floats and in this order."""
    means, place = [], 0
    for length, clip in clips:
        step = clip / (2 ** (bits - 1) - 1)
        for total in sums[place : place + length]:
            steps = float(total - contributors * 2 ** (bits - 1))
            means.append(step * steps * float(largest_weight) / float(weight_sum))
        place += length
    return means


def next_clip(previous, contributors, means):
    """Clip rule 1, for one tensor."""
    squares = 0.0
    for value in means:
        squares += value * value
    return max(previous / 4, 8 * sqrt(contributors) * sqrt(squares / len(means)), 2.0**-20)
