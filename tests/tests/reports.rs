//! The pages that runs leave: at each hospital, of a simulation, of a reproduction.

use std::{
    fs,
    io::Cursor,
    path::{Path, PathBuf},
    process::Output,
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use nifti::{IntoNdArray as _, NiftiObject as _, ReaderOptions};
use report::pictures::{SliceView, slices};
use system_tests::{Federation, Running, browser::Browser, program, run, stderr};

const PATIENCE: Duration = Duration::from_secs(300);

fn succeeds(output: Output) -> String {
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn participant(federation: &Federation, words: &[&str]) -> String {
    let mut command = program("participant");
    command.args(words).arg("--config");
    succeeds(run(
        command.arg(federation.hospital(1).join("participant.toml"))
    ))
}

/// Its only run.
fn page_of(federation: &Federation, hospital: u8) -> PathBuf {
    let runs = federation.hospital(hospital).join("state/runs");
    let mut runs = fs::read_dir(runs).expect("runs");
    let run = runs.next().expect("a run").expect("an entry");
    run.path().join("report.html")
}

#[cfg(unix)]
fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt as _;
    let about = fs::metadata(path).expect("a file");
    about.permissions().mode() & 0o777
}

/// The rows of the table of test patients: name, truth, class, probability.
fn rows(page: &str) -> Vec<[String; 4]> {
    let table = page
        .split("What the model says of each test patient")
        .nth(1)
        .and_then(|rest| rest.split("</table>").next())
        .expect("the table");
    let rows = table.split("<tr>").skip(2);
    rows.map(|row| {
        let mut cells = row.split("<t").filter_map(|cell| {
            let (_, text) = cell.split_once('>')?;
            text.split("</").next().map(str::to_owned)
        });
        [(); 4].map(|()| cells.next().expect("a cell"))
    })
    .collect()
}

/// An image of a page.
struct Tile {
    side: usize,
    pixels: Vec<[u8; 3]>,
}

/// Of "Where the model looks": of each patient the slice with its map, then the slice.
fn tiles(page: &str) -> Vec<Tile> {
    let section = page.split(">Where the model looks</h2>").nth(1);
    let section = section.and_then(|rest| rest.split("<h2").next());
    let images = section
        .expect("the section")
        .split("href=\"data:image/png;base64,");
    let tile = |image: &str| {
        let (encoded, _) = image.split_once('"').expect("a quote");
        let bytes = STANDARD.decode(encoded).expect("base64");
        let mut reader = png::Decoder::new(Cursor::new(bytes))
            .read_info()
            .expect("a PNG");
        let mut pixels = vec![0; reader.output_buffer_size().expect("small")];
        reader.next_frame(&mut pixels).expect("an image");
        Tile {
            side: reader.info().width as usize,
            pixels: pixels.as_chunks().0.to_vec(),
        }
    };
    images.skip(1).map(tile).collect()
}

/// The map of the page is what the page draws of the heat that `predict` has written of the same slice, pixel by pixel.
/// Gives the largest heat.
fn assert_heat_is_the_same(id: &str, predicted: &Path, map: &Tile, slice: &Tile) -> f32 {
    let table = fs::read_to_string(predicted.join("slices.csv")).expect("a table");
    let of_patient = format!("{id},");
    let rows = table.lines().filter(|line| line.starts_with(&of_patient));
    let planes: Vec<usize> = rows
        .map(|row| {
            row.split(',')
                .nth(3)
                .expect("a plane")
                .parse()
                .expect("a number")
        })
        .collect();
    let plane = planes[planes.len() / 2];
    let volume = predicted.join(format!("heat/{id}/flair-heat.nii.gz"));
    let volume = ReaderOptions::new().read_file(volume).expect("NIfTI");
    let volume = volume.into_volume().into_ndarray::<f32>().expect("numbers");
    let side = slice.side;
    let places = (0..side * side).map(|place| (place % side, place / side));
    let heat: Vec<f32> = places
        .map(|(column, row)| volume[[column, row, plane]])
        .collect();
    // Between its ends a grey level of the page is that of a brightness in its middle.
    let brightness = |[grey, ..]: &[u8; 3]| match *grey {
        0 | 255 => f32::from(*grey),
        grey => f32::from(grey) + 0.5,
    };
    let pixels: Vec<f32> = slice.pixels.iter().map(brightness).collect();
    let view = SliceView {
        pixels: &pixels,
        side,
        attention: &heat,
        caption: vec![],
    };
    let drawn = slices("expected", "expected", &[view]).expect("drawn");
    let drawn = drawn.inline().expect("drawn");
    let expected = tiles(&format!(">Where the model looks</h2>{drawn}"));
    assert!(expected[1].pixels == slice.pixels, "{id}: the slice");
    // A heat is told in 255 steps; two computations may round one of them differently.
    let differ = expected[0].pixels.iter().zip(&map.pixels);
    let differ = differ.filter(|(one, other)| {
        let pairs = one.iter().zip(other.iter());
        pairs
            .into_iter()
            .any(|(one, other)| one.abs_diff(*other) > 4)
    });
    let (differ, all) = (differ.count(), map.pixels.len());
    assert_eq!(
        (expected[0].side, expected[0].pixels.len()),
        (map.side, all)
    );
    assert!(
        1000 * differ <= all,
        "{id}: {differ} of {all} pixels differ"
    );
    heat.into_iter().fold(0.0, f32::max)
}

#[test]
fn each_hospital_has_a_page_of_the_run_and_of_its_own_test_patients() {
    let federation = Federation::new(2).with_phantom(2, 60, 4);
    let hospitals = [1, 2]
        .map(|number| Running::start(format!("{number}"), &mut federation.participant(number)));
    let coordinator = Running::start("coordinator", &mut federation.serve(2, 60));
    assert!(coordinator.finish(PATIENCE).0);
    for hospital in hospitals {
        let (succeeded, line) = hospital.finish(PATIENCE);
        assert!(succeeded);
        let line: serde_json::Value = serde_json::from_str(&line).expect("JSON");
        let page = line["report"].as_str().expect("a path");
        assert!(page.ends_with("report.html"), "{page}");
    }
    let path = page_of(&federation, 1);
    #[cfg(unix)]
    assert_eq!(mode(&path), 0o600);
    let page = fs::read_to_string(&path).expect("a page");
    let root = federation.path().display().to_string();
    assert!(!page.contains(&root), "a path of this machine");
    for words in [
        "For this hospital alone",
        "It names no patient",
        "not for diagnosis",
        // 30 patients here give 5 test patients.
        "TOO FEW PATIENTS TO TELL",
        "Where the model looks",
        "every plane that shows tissue",
        "opened by this hospital in a run",
    ] {
        assert!(page.contains(words), "{words}");
    }
    // Rounds 1 and 2, of both hospitals and of this one.
    for round in 1..=2 {
        let row = format!("<tr><th>{round}</th><td>2</td>");
        assert!(page.contains(&row), "{row}");
    }
    assert!(
        !page.contains("not split as in the run"),
        "the split is that of the run"
    );
    let other = fs::read_to_string(page_of(&federation, 2)).expect("a page");
    assert_ne!(rows(&page), rows(&other));

    if let Some(mut browser) = Browser::start() {
        look_at(&mut browser, "hospital", &path);
    }

    // Again, with names: what `predict` says of the same patients.
    let named = federation.path().join("named.html");
    let said = participant(
        &federation,
        &[
            "report",
            "--with-ids",
            "--no-images",
            "-o",
            &named.display().to_string(),
        ],
    );
    assert_eq!(said, named.display().to_string());
    let with_names = fs::read_to_string(&named).expect("a page");
    assert!(with_names.contains("It names patients") && !with_names.contains("<image"));
    let data = federation.hospital(1).join("data");
    let out = federation.path().join("predicted");
    let model = path.with_file_name("model-best.safetensors");
    let [model, data, out] = [&model, &data, &out].map(|path| path.display().to_string());
    participant(&federation, &["predict", &model, &data, "-o", &out]);
    let predicted = fs::read_to_string(Path::new(&out).join("predictions.csv")).expect("a table");
    let named_rows = rows(&with_names);
    assert_eq!(named_rows.len(), rows(&page).len());
    for ([id, _, called, probability], [number, ..]) in named_rows.iter().zip(rows(&page)) {
        assert!(
            number.parse::<usize>().is_ok_and(|number| number <= 5),
            "{number}"
        );
        let line = predicted
            .lines()
            .find(|line| line.starts_with(&format!("{id},")));
        let line = line.unwrap_or_else(|| panic!("no patient {id} in {predicted}"));
        let cells: Vec<&str> = line.split(',').collect();
        assert!(called.starts_with(cells[1]), "{called} and {line}");
        let place = if cells[1] == "lower" { 2 } else { 3 };
        let told: f64 = cells[place].parse().expect("a number");
        let shown: f64 = probability.parse().expect("a number");
        assert!((told - shown).abs() < 0.0051, "{shown} and {line}");
    }

    let ids: Vec<&str> = named_rows.iter().map(|[id, ..]| id.as_str()).collect();
    let tiles = tiles(&page);
    assert_eq!(tiles.len(), 2 * ids.len(), "a slice and a map of each");
    let pairs = ids.iter().zip(tiles.chunks_exact(2));
    let hottest = pairs.map(|(id, pair)| {
        let [map, slice] = pair else { panic!("a pair") };
        assert_heat_is_the_same(id, Path::new(&out), map, slice)
    });
    let hottest: Vec<f32> = hottest.collect();
    assert!(hottest.contains(&1.0), "no map at all: {hottest:?}");

    // Of another split it is no test, which is said; and of an erased patient no page is left.
    participant(&federation, &["report", "--set", "training.seed=9"]);
    let page = fs::read_to_string(&path).expect("a page");
    assert!(
        page.contains("not split as in the run: there are 30"),
        "{page}"
    );
    let erased = &named_rows[0][0];
    let said = participant(&federation, &["erase", erased]);
    assert!(said.contains("deleted report.html"), "{said}");
    assert!(!path.exists());
}

/// Looked at as on a phone, a wide screen, in the dark and on paper; pictures are kept in target/screenshots.
fn look_at(browser: &mut Browser, name: &str, page: &Path) {
    browser.see(1280, 900, false);
    browser.open(&format!("file://{}", page.display()));
    for (what, width, dark) in [
        ("phone", 390, false),
        ("wide", 1920, false),
        ("dark", 1280, true),
    ] {
        browser.see(width, 900, dark);
        let over = "document.documentElement.scrollWidth - window.innerWidth";
        let over = browser.value(over).as_f64().expect("a number");
        assert!(over <= 0.0, "{name}: {over} pixels wider than a {what}");
        keep(browser, name, what, width, dark);
    }
    browser.see_print();
    let paper = browser.value("getComputedStyle(document.body).backgroundColor");
    assert_eq!(paper, "rgb(255, 255, 255)", "{name}");
    keep_now(browser, name, "print");
    assert_eq!(browser.troubles(), [""; 0], "{name}");
    let asked = browser.requests().iter();
    let asked: Vec<&String> = asked
        .filter(|address| !address.starts_with("file:") && !address.starts_with("data:"))
        .collect();
    assert!(asked.is_empty(), "{name} asks the network: {asked:?}");
}

fn keep(browser: &mut Browser, name: &str, what: &str, width: u32, dark: bool) {
    let height = browser.value("document.documentElement.scrollHeight");
    let height = height.as_u64().expect("a number").clamp(900, 16_000) as u32;
    browser.see(width, height, dark);
    keep_now(browser, name, what);
}

fn keep_now(browser: &mut Browser, name: &str, what: &str) {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("screenshots");
    browser.keep_picture(&folder.join(format!("{name}-{what}.png")));
}

#[test]
fn pages_are_read_on_a_phone_on_a_wide_screen_in_the_dark_and_on_paper() {
    let Some(mut browser) = Browser::start() else {
        eprintln!("skipped: there is no chromium");
        return;
    };
    let root = tempfile::tempdir().expect("a folder");
    let simulated = root.path().join("simulated");
    let mut simulate = program("experiments");
    simulate.args([
        "simulate",
        "--hospitals",
        "3",
        "--patients",
        "120",
        "--slices",
        "4",
    ]);
    simulate.args(["--rounds", "3", "--local-epochs", "1", "--profile", "study"]);
    succeeds(run(simulate.arg("--out").arg(&simulated)));
    let page = simulated.join("report.html");
    look_at(&mut browser, "simulation", &page);
    // A click on a head sorts; the second one the other way round.
    let first_loss = "(() => { const table = [...document.querySelectorAll('table')].find(table => table.textContent.includes('training loss')); \
                      table.rows[0].cells[0].querySelector('button').click(); return table.rows[1].cells[0].textContent })()";
    let first = browser.value(first_loss);
    let second = browser.value(first_loss);
    assert_eq!([first, second], ["1", "3"]);

    let reproduced = root.path().join("reproduced");
    let mut reproduce = program("experiments");
    reproduce.args([
        "reproduce",
        "--patients",
        "60",
        "--slices",
        "2",
        "--task",
        "binary",
    ]);
    reproduce.args([
        "--balance",
        "original",
        "--model",
        "hybrid,plain",
        "--split",
        "patient",
    ]);
    reproduce.args(["--seeds", "2", "--epochs", "1"]);
    succeeds(run(reproduce.arg("--out").arg(&reproduced)));
    look_at(
        &mut browser,
        "reproduction",
        &reproduced.join("report.html"),
    );
}
