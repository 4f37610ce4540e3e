//! Which numbers are prime.

/// Miller and Rabin's test with the bases that decide all 64-bit numbers (Sorenson and Webster 2015).
pub fn is_prime(number: u64) -> bool {
    const BASES: [u64; 12] = [2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37];
    if number < 2
        || BASES
            .iter()
            .any(|&base| number != base && number.is_multiple_of(base))
    {
        return false;
    }
    let product = |a: u64, b: u64| (u128::from(a) * u128::from(b) % u128::from(number)) as u64;
    let twos = (number - 1).trailing_zeros();
    BASES.iter().filter(|&&base| base != number).all(|&base| {
        let mut power = 1;
        for bit in (twos..u64::BITS).rev() {
            power = product(power, power);
            if (number - 1) >> bit & 1 == 1 {
                power = product(power, base);
            }
        }
        power == 1
            || (0..twos).any(|_| {
                let found = power == number - 1;
                power = product(power, power);
                found
            })
    })
}

#[test]
fn small_primes_are_found() {
    let primes: Vec<u64> = (0..60).filter(|&number| is_prime(number)).collect();
    let expected = [
        2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59,
    ];
    assert_eq!(primes, expected);
    assert!(
        !is_prime(3_215_031_751),
        "a strong pseudoprime to 2, 3, 5 and 7"
    );
    assert!(is_prime((1 << 61) - 1));
}
